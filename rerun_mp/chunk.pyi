from rerun.chunk import *
