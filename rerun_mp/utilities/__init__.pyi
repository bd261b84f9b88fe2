from rerun.utilities import *
