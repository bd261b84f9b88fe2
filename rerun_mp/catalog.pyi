from rerun.catalog import *
