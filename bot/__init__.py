"""The application: settings, wiring, life and death of the house. Everything about messages is in core."""

VERSION = "0.1.0"
"""pyproject.toml reads it from here."""
