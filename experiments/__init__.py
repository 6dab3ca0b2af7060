"""Studies: each runs as `python -m experiments.NAME`."""
