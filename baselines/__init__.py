"""Policies that do not learn, and the references that see hidden truth."""
