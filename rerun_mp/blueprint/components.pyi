from rerun.blueprint.components import *
