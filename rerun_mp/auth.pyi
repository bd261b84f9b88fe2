from rerun.auth import *
