from rerun.blueprint.api import *
