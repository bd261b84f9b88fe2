from rerun.experimental.dataloader import *
