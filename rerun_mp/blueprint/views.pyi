from rerun.blueprint.views import *
