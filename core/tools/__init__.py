"""Tools that a model may call while it answers.

`toolbox.py` says what a tool is and which ones a place may use; `loop.py` runs the bounded conversation between model
and tools, as one more Handler around the middleware stack. Each module in `kit/` is one tool: to add
another, add a file there with a `make(services)` that returns it. `mcp.py` brings in the tools of other programs.
"""
