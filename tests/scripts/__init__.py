"""The scripts, and what they make."""
