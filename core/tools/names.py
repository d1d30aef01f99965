"""What `tern.toml` may call a tool. Apart from the tools themselves, whose libraries no settings file should load."""

OWN_TOOLS = frozenset(
    {"browser_search", "calculate", "code_interpreter", "current_time", "read_page", "search_history"}
)
"""Beside those of MCP servers, which are SERVER__TOOL; a test compares this with what there is."""
