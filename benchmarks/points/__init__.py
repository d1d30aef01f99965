"""One file for each point of the report: `async def measure(bench) -> Section`."""
