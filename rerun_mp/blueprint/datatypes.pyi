from rerun.blueprint.datatypes import *
