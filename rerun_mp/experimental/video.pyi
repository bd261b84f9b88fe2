from rerun.experimental.video import *
