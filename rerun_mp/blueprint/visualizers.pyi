from rerun.blueprint.visualizers import *
