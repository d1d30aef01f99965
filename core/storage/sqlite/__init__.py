"""The storage in one SQLite file: opened, written in groups, set aside and rescued when it is damaged."""
