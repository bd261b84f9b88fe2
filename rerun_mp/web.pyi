from rerun.web import *
