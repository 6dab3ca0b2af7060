"""Policies that learn."""
