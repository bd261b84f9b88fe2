from rerun.encodings import *
