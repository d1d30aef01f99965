"""The promises, proved by trying to break them: a seeded plan of faults, a house between fake worlds, and invariants.

`python -m tests.torture --messages 10000 --seed 7` runs the long trials; the quick ones are ordinary tests here.
"""
