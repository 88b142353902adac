# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""The cache for threads."""
