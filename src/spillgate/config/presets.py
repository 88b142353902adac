"""The keys of well-known queue and session libraries, so that they are counted by name. Presets are protected.

A preset covers the library's default names. Where an application chose others (a Celery queue, a Django
``KEY_PREFIX``), it adds a namespace of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType

PRESETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bullmq": ("bull:*",),
        "celery": (
            "celery",
            "celery\x06\x16*",
            "_kombu.binding.*",
            "unacked",
            "unacked_*",
            "celery-task-meta-*",
            "celery-taskset-meta-*",
        ),
        "django-sessions": (":*:django.contrib.sessions.cache*",),
        "dramatiq": ("dramatiq:*",),
        "rq": ("rq:*",),
        "sidekiq": ("queue:*", "queues", "retry", "schedule", "dead", "stat:*", "processes"),
    }
)
