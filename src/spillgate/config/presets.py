r"""The keys of well-known queue and session libraries, so that they are counted and shown by name; all are protected.

A preset names what the library writes under its default names. What an application names itself stands in a namespace
of its own, with ``cleanup = "never"``::

    [[namespace]]
    name = "celery-queues"
    keys = ["emails", "emails\u0006\u0016*"]   # a Celery queue, and its lists for other priorities than 0

Likewise another ``prefix`` of BullMQ, ``RQ_KEY_PREFIX``, ``namespace`` of Dramatiq, ``KEY_PREFIX`` of Django, or
``global_keyprefix`` of Celery. A key that no pattern can name without naming others too is left out: it matches no
namespace, and so is protected as well.

tests/acceptance/test_presets.py holds the presets against what the libraries really write. Sidekiq's is read off its
source (8.1.7), each key with its file.
"""

from collections.abc import Mapping
from types import MappingProxyType

from spillgate.keyspace import OWN_PREFIX

_HEX = "[0-9a-f]"
_UUID = "-".join(_HEX * digits for digits in (8, 4, 4, 4, 12))

PRESETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bullmq": ("bull:*",),
        "celery": (
            "celery",
            "celery\x06\x16*",  # the queue's lists for priorities other than 0
            "_kombu.binding*",
            "unacked",
            "unacked_index",
            "unacked_mutex",
            f"{_UUID}.reply.celery.pidbox",  # answers to remote control
            "celery-task-meta-*",
            "celery-taskset-meta-*",
        ),
        # The backends cache and cached_db, with any VERSION of the cache.
        "django-sessions": (":[0-9]*:django.contrib.sessions.cache*",),
        # Results are stored under bare hashes unless `use_namespace_prefix_keys=True`.
        "dramatiq": ("dramatiq:*", "dramatiq-results:*"),
        "rq": ("rq:*",),
        # Left out: a process's heartbeat, "<host>:<pid>:<nonce>" and ":work" or "-signals" behind it (launcher.rb), and
        # profiles, "<token>-<job>" (profiler.rb).
        "sidekiq": (
            "queue:*",  # client.rb
            "queues",  # client.rb
            "paused",  # api.rb
            "schedule",  # client.rb
            "retry",  # job_retry.rb
            "dead",  # job_retry.rb
            "stat:*",  # launcher.rb
            "processes",  # launcher.rb
            "process_cleanup",  # scheduled.rb
            "dear-leader",  # api.rb
            "profiles",  # profiler.rb
            "it-*",  # job/iterable.rb
            "j|*",  # metrics/tracking.rb
            "h|*",  # metrics/shared.rb
            "[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]-marks",  # deploy.rb
            "deploylock-*",  # deploy.rb
        ),
        "spillgate": (OWN_PREFIX + "*",),  # what the cache library keeps for itself
    }
)
"""For each preset the globs of its keys."""
