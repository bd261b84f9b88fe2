from rerun.error_utils import *
