from rerun.notebook import *
