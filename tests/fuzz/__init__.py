"""`make fuzz`: what strangers send, by the thousand, bounded and from a seed.

To add a part, put a module into this folder (its name is the part's name) that has

    COUNT = 2_000                                   how many inputs `make fuzz` tries
    def check(rng: random.Random) -> None: ...      makes one input from *rng*, tries it, raises for what is wrong

`check` may be `async def`; all of a part's inputs then run on one loop, one after the other. Use nothing but *rng* for
chance, so that `python -m tests.fuzz PART --seed S --only N` meets input N of seed S again. Raise AssertionError with a
sentence for what is lost or changed; an exception of ours that is a right answer to the input is caught by `check`, any
other is a fault. Work is counted with `tests.work.steps`, never timed. No network beyond loopback, no real sleeping,
nothing left behind.
"""
