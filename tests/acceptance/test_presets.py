"""The presets, held against the keys that the real libraries write on a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from spillgate.config import PRESETS, parse_policy
from spillgate.keyspace import Keyspace

if TYPE_CHECKING:
    from tests.conftest import ServerFactory
    from tests.servers import Server

LIBRARIES = Path(__file__).parent / "libraries"

# Read off the source of Sidekiq 8.1.7; presets.py names the file of each.
SIDEKIQ = [
    b"queue:default",
    b"queues",
    b"paused",
    b"schedule",
    b"retry",
    b"dead",
    b"stat:processed",
    b"stat:failed:2026-01-31",
    b"processes",
    b"process_cleanup",
    b"dear-leader",
    b"profiles",
    b"it-2b3c4d5e6f7a8b9c0d1e2f3a",
    b"j|260131|8:4",
    b"j|260131|8:43",
    b"h|HardJob-31-8:43",
    b"20260131-marks",
    b"deploylock-v1",
]


@pytest.mark.parametrize(
    ("preset", "program", "telling"),
    [
        ("bullmq", "bullmq_app.py", {b"bull:numbers:wait", b"bull:numbers:completed", b"bull:numbers:repeat"}),
        (
            "celery",
            "celery_app.py",
            {b"celery", b"celery\x06\x169", b"unacked", b"unacked_index", b"_kombu.binding.reply.celery.pidbox"},
        ),
        ("django-sessions", "django_app.py", set[bytes]()),
        ("dramatiq", "dramatiq_app.py", {b"dramatiq:default", b"dramatiq:default.DQ", b"dramatiq:default.XQ"}),
        ("rq", "rq_app.py", {b"rq:queues", b"rq:workers", b"rq:scheduled:default", b"rq:groups"}),
    ],
)
def test_a_preset_names_every_key_that_the_library_writes(
    preset: str, program: str, telling: set[bytes], server_factory: ServerFactory
) -> None:
    server = server_factory(notify_keyspace_events="KEA")
    written = keys_written_by(LIBRARIES / program, server)
    keyspace = Keyspace(parse_policy(f'presets = ["{preset}"]', "presets").namespaces)
    assert telling <= written
    assert len(written) >= 4
    assert {key for key in written if keyspace.namespace_of(key) != preset} == set()


def keys_written_by(program: Path, server: Server) -> set[bytes]:
    """Run a program against the server; return every key it wrote, those that are gone by now too."""
    prefix = b"__keyspace@0__:"
    with server.client().pubsub() as events:
        events.psubscribe(prefix + b"*")
        assert events.get_message(timeout=5) is not None  # the server has subscribed us
        subprocess.run([sys.executable, program], env=os.environ | {"REDIS_URL": server.url}, timeout=120, check=True)
        server.client().set("the end", 1)
        written: set[bytes] = set()
        while b"the end" not in written:
            message = cast("dict[str, bytes] | None", events.get_message(timeout=5))
            assert message is not None
            written.add(message["channel"].removeprefix(prefix))
    return written - {b"the end"}


def test_the_preset_of_sidekiq_names_the_keys_of_its_source() -> None:
    keyspace = Keyspace(parse_policy('presets = ["sidekiq"]', "presets").namespaces)
    assert [key for key in SIDEKIQ if keyspace.namespace_of(key) != "sidekiq"] == []


def test_every_preset_can_stand_beside_the_others_and_an_applications_namespaces() -> None:
    policy = parse_policy(
        f"presets = {sorted(PRESETS)}\n"
        '[[namespace]]\nname = "app"\nkeys = ["app:*", "cache:*", "session:*", "user:*", "celery-beat*"]',
        "presets",
    )
    assert len(policy.namespaces) == 1 + len(PRESETS)
    keyspace = Keyspace(policy.namespaces)
    for key in (
        b"dead:letters",
        b"retry:7",
        b"celeryx",
        b"schedule:1",
        b"unacked_other",
        b"host:7:0123456789ab",
        b"bulletin",
    ):
        assert keyspace.namespace_of(key) is None


def test_an_application_can_name_a_celery_queue_of_its_own() -> None:
    policy = parse_policy(
        'presets = ["celery"]\n'
        '[[namespace]]\nname = "celery-queues"\nkeys = ["emails", "emails\\u0006\\u0016*"]\ncleanup = "never"',
        "presets",
    )
    keyspace = Keyspace(policy.namespaces)
    assert keyspace.namespace_of(b"emails") == "celery-queues"
    assert keyspace.namespace_of(b"emails\x06\x163") == "celery-queues"
    assert keyspace.namespace_of(b"celery") == "celery"
