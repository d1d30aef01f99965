"""How fast the house is, measured side by side with what one would use instead. `make bench`; results in RESULTS.md.

    __main__.py   which points are measured, and where the report goes
    bench.py      rounds, subjects and the fake model server: what every point is handed
    figures.py    spreads, goals, tables; pure
    report.py     the report as Markdown, with machine and versions
    llm_server.py a model that streams with an exact rhythm, in a process of its own
    remote.py     a subject's side of the pipe: commands in, figures out
    meter.py      CPU per chunk and lag of tokens, the same for every subject
    subjects/     the house, the SDKs' loops, LiteLLM's Router, and two floors; each runs in a process of its own
    points/       one file for each point of the issue
    screen/       what a reader sees: the pacer, fixed cadences and the theoretical best, in virtual time
    peers.py      whole bots from PyPI on the fake Discord

No test depends on a timing here.
"""
