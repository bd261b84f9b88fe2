from rerun.blueprint.table import *
