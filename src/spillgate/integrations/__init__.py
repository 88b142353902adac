"""Spillgate inside an application.

An ASGI application takes ``asgi.governed`` and ``asgi.with_cache`` as its lifespan, and ``responses.ResponseCache`` as
middleware; Flask-Caching takes ``flask.SpillgateCache``. To govern, a synchronous application needs nothing from here:
a `Governor` is a context manager that runs in a thread of its own (``with Governor(policy): serve()``), or has
``start`` and ``stop``.
"""
