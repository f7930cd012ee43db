"""What can be seen by reading the files: `scripts/lint` calls it, in the environment of the tests.

Each module has a function `check` that yields complaints, one sentence each.
"""
