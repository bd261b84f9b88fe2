from rerun.blueprint.archetypes import *
