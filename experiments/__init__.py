"""Studies: each runs as `python -m experiments.NAME`; what they are made of is in `harness`."""
