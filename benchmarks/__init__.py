"""Measurements beside rerun-sdk: `python -m benchmarks.<name>`. The two take turns; quote the ratios."""
