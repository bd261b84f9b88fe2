from rerun.blueprint.containers import *
