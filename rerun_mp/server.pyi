from rerun.server import *
