from rerun.archetypes import *
