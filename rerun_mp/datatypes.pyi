from rerun.datatypes import *
