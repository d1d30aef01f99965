"""Every seam of the house: gateway (what a request meets), platform (what an adapter meets), storage (what is kept)."""
