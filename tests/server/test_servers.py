"""The servers that all the other tests stand on: they are what they say, and they come and go as told."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
import redis

from tests import servers
from tests.servers import HOST, Server, ServerKind, ServerMissingError, ServerStartError, eventually, find_binary

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import ServerFactory


def test_server_is_the_version_it_is_called(server: Server) -> None:
    info = server.client().info("server")
    name, version = server.kind.split("-")
    if name == "valkey":
        assert info["valkey_version"].startswith(f"{version}.")
    else:
        assert info["redis_version"].split(".")[0] == version.split(".")[0]


def test_restart_keeps_the_port_and_forgets_the_data(server: Server) -> None:
    client = server.client()
    client.set("key", "value")
    port, pid = server.port, server.pid
    server.restart()
    assert (server.port, server.client().exists("key")) == (port, 0)
    assert server.pid != pid


def test_a_killed_server_refuses_and_a_frozen_one_is_silent(server: Server) -> None:
    client = server.client(socket_timeout=0.2)
    server.freeze()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    server.thaw()
    assert server.client().ping()
    server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_nothing_is_left_behind_even_of_a_frozen_server() -> None:
    with Server(ServerKind.VALKEY_9_1) as server:
        pid, folder = server.pid, server.dir
        server.freeze()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_options_reach_the_server(server_factory: ServerFactory) -> None:
    server = server_factory(maxmemory="25mb", maxmemory_policy="volatile-ttl", requirepass="secret", unixsocket=True)
    memory = server.client().info("memory")
    assert memory["maxmemory"] == 25 * 1024**2
    assert memory["maxmemory_policy"] == "volatile-ttl"
    with redis.Redis.from_url(server.unix_url) as client:
        assert client.ping()
    with (
        redis.Redis.from_url(f"redis://{HOST}:{server.port}", retry=None) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_tls_server_is_verified_by_its_authority(server_factory: ServerFactory) -> None:
    server = server_factory(ServerKind.REDIS_7_0, tls=True)
    assert server.url.startswith("rediss://")
    assert server.client().ping()
    with redis.Redis.from_url(server.url, retry=None) as stranger, pytest.raises(redis.ConnectionError):
        stranger.ping()


def test_a_setting_the_server_does_not_know_is_told_with_its_log() -> None:
    with pytest.raises(ServerStartError, match="no-such-setting"), Server(ServerKind.VALKEY_9_1, no_such_setting="1"):
        pass


def test_a_port_lost_to_another_is_tried_anew_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as taken:
        free = servers.free_port()
        ports = iter([taken.getsockname()[1], free])
        monkeypatch.setattr(servers, "free_port", lambda: next(ports))
        with Server(ServerKind.VALKEY_9_1) as server:
            assert server.port == free


def test_a_binary_of_another_version_is_not_taken_for_the_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "redis-server").symlink_to(find_binary(ServerKind.VALKEY_9_1))
    monkeypatch.setenv("PATH", str(tmp_path))
    find_binary.cache_clear()
    with pytest.raises(ServerMissingError, match=r"redis-7\.0 is not installed: .*redis-server"):
        find_binary(ServerKind.REDIS_7_0)
    find_binary.cache_clear()


def test_eventually_returns_the_value_or_tells_the_last_one() -> None:
    values = iter([0, 0, 7])
    assert eventually(lambda: next(values)) == 7
    with pytest.raises(AssertionError, match=r"still \[\] after 0\.02 s"):
        eventually(list, timeout_s=0.02)
