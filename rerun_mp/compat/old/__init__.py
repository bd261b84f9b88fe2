"""Functions and classes that rerun-sdk has dropped. `legacy` has the table of their names."""
