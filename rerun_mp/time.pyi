from rerun.time import *
