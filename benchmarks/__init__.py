"""Measurements of what counts, each beside something to compare it with."""
