from rerun.blueprint.experimental import *
