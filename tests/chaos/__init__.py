"""Faults as a matter of course: a real Home Assistant that loses no value whatever happens to it.

`python -m tests.chaos --minutes 5 --seed fresh` runs a Home Assistant in a process of its own beside the
simulator, sets values at a rate, composes faults by a seed, and compares in the end what was sampled
with what was stored. Loopback only.
"""
