"""The only way to an address that somebody else chose."""
