"""The cache for asyncio. ``_sync`` is generated from here by ``python scripts/unasync.py``."""
