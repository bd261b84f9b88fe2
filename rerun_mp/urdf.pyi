from rerun.urdf import *
