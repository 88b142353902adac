"""Spillgate inside an application.

An ASGI application takes ``asgi.governed`` as its lifespan. A synchronous one needs nothing from here: a `Governor` is
a context manager that runs in a thread of its own (``with Governor(policy): serve()``), or has ``start`` and ``stop``.
"""
