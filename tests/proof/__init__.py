"""Proof that no value is lost: a simulated day of faults, and processes that are killed."""
