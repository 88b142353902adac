# pyright: basic
"""A Django application with its cache on the server in REDIS_URL: run as a program, it makes sessions of both kinds."""

import os
from importlib import import_module

import django
from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command

ENGINES = ("django.contrib.sessions.backends.cache", "django.contrib.sessions.backends.cached_db")


def main() -> None:
    """Make a session with each backend that uses the cache, and one in a cache of another version."""
    cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["REDIS_URL"]}
    settings.configure(
        INSTALLED_APPS=["django.contrib.sessions"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        CACHES={"default": cache, "second": cache | {"VERSION": 2}},
        SECRET_KEY="only for a test",
    )
    django.setup()
    call_command("migrate", verbosity=0)
    for engine in ENGINES:
        for settings.SESSION_CACHE_ALIAS in ("default", "second"):
            store = import_module(engine).SessionStore()
            store["user"] = 7
            store.save()
            assert caches[settings.SESSION_CACHE_ALIAS].get(store.cache_key) == {"user": 7}


if __name__ == "__main__":
    main()
