from rerun.components import *
