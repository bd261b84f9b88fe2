from rerun.sinks import *
