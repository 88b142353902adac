"""Commands of the report on a real server."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from spillgate.config import ServerSettings
from spillgate.report.deployment import unlink_all

if TYPE_CHECKING:
    from tests.servers import Server


@pytest.mark.requires("redis-cli", "bash")
def test_a_key_with_a_line_feed_takes_no_other_key_along(valkey: Server) -> None:
    client = valkey.client()
    client.mset({"app:a:1": "x", "app:a:2": "x", "app:tasks:1": "x", "app:a:q\napp:tasks:1": "x"})
    command = unlink_all(ServerSettings(url=valkey.url), ("app:a:*",))
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)  # noqa: S607 - any bash
    assert sorted(client.keys()) == [b"app:a:q\napp:tasks:1", b"app:tasks:1"]
