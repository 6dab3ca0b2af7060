"""Acquisition functions beside those of another library."""
