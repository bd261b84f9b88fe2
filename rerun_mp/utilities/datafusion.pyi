from rerun.utilities.datafusion import *
