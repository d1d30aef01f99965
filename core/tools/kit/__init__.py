"""One module, one tool; each has `make(services) -> ToolSpec`."""
