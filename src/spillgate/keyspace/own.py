"""Names that Spillgate keeps for itself in a governed server. No namespace may hold them."""

OWN_PREFIX = "spillgate:"
"""What its own keys begin with: generations and dictionaries of the cache library, locks, recordings."""

WAKE_CHANNEL = OWN_PREFIX + "wake"
"""A message here asks the governor to look at once."""
