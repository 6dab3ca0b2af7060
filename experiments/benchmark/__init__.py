"""Policies side by side on scenarios."""
