"""How the tables came to be, one file a step, in versions/. Run by core/storage/opening.py, never by hand."""
