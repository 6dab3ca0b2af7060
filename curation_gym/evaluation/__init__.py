"""Rollouts, metrics and statistics."""
