"""Everything that comes from outside, at random: answers, states, stored settings, the outbox' file.

In the ordinary run few examples, always the same. `ENIRIS_FUZZ_EXAMPLES=5000` takes so many for each
test, others each time, and says how to repeat what fails.
"""
