from rerun.experimental import *
