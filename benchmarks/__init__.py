"""Measurements beside rerun-sdk: `python -m benchmarks.<name>`. Ratios are what to quote: the two take turns."""
