from rerun.blueprint.encodings import *
