from rerun.blueprint import *
