"""Encrypted connections and sockets: what is verified, and what is told when it does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme

from spillgate.config import Verify
from spillgate.errors import ServerUnreachable
from spillgate.keyspace import WAKE_CHANNEL
from spillgate.model import Rule, Unlink
from spillgate.policy.pacing import Pause
from spillgate.server.tracking import WriteTracker
from tests.governing import fill, gateway_of, governing, keys_of, policy_of, sweep_all
from tests.servers import ServerKind

if TYPE_CHECKING:
    from pathlib import Path

    from spillgate.config import Policy
    from tests.conftest import ServerFactory
    from tests.servers import Server


@pytest.fixture
def encrypted(server_factory: ServerFactory) -> Server:
    """A server that listens with TLS only."""
    return server_factory(ServerKind.REDIS_7_0, tls=True)


def tls_policy(server: Server, *, verify: Verify = Verify.FULL, ca_file: Path | None = None, host: str = "") -> Policy:
    url = server.url.replace("127.0.0.1", host) if host else server.url
    policy = policy_of(url, server='limit = "8MB"')
    return replace(policy, server=replace(policy.server, verify=verify, ca_file=ca_file))


def test_it_governs_over_tls(encrypted: Server) -> None:
    client = encrypted.client()
    fill(client, "app:analytics:", 20)
    with governing(tls_policy(encrypted, ca_file=encrypted.ca_file)) as governor:
        governor.cycle()
        assert governor.state.error is None
        assert governor.state.reading is not None
        assert governor.state.reading.keys == 20
    gateway = gateway_of(tls_policy(encrypted, ca_file=encrypted.ca_file))
    sweep_all(gateway, [Rule("analytics", Unlink.ALL)])
    assert keys_of(client) == set()
    gateway.close()


def test_pauses_are_cut_short_over_tls(encrypted: Server) -> None:
    gateway = gateway_of(tls_policy(encrypted, ca_file=encrypted.ca_file))
    tracker = WriteTracker(gateway.subscribe)
    tracker.enabled = True
    tracker.wait(Pause(0.01, 4096))
    encrypted.client().publish(WAKE_CHANNEL, "help")
    assert tracker.wait(Pause(20, 4096)).early
    fill(encrypted.client(), "app:messages:", 3000, size=10)
    assert tracker.wait(Pause(20, 4096)).early
    assert not tracker.wait(Pause(0.05)).early
    tracker.close()
    gateway.close()


@pytest.mark.parametrize(
    ("verify", "trusted", "host", "connects"),
    [
        (Verify.FULL, True, "", True),
        (Verify.FULL, True, "127.1", False),  # the same machine, under a name that the certificate does not have
        (Verify.FULL, False, "", False),
        (Verify.CA, True, "127.1", True),
        (Verify.CA, False, "", False),
        (Verify.NONE, False, "", True),
        (Verify.NONE, False, "127.1", True),
    ],
)
def test_what_is_verified(
    encrypted: Server, tmp_path: Path, verify: Verify, host: str, *, trusted: bool, connects: bool
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    ca_file = encrypted.ca_file if trusted else stranger
    gateway = gateway_of(tls_policy(encrypted, verify=verify, ca_file=ca_file, host=host), probed=False)
    if connects:
        assert gateway.read().used_bytes > 0
    else:
        with pytest.raises(ServerUnreachable, match=r"(?i)certificate"):
            gateway.read()
    gateway.close()


def test_the_systems_authorities_do_not_know_it(encrypted: Server) -> None:
    with governing(tls_policy(encrypted)) as governor:
        governor.cycle()
        assert "ertificate" in (governor.state.error or "")
        assert governor.state.level_label == "unknown"


def test_without_tls_a_server_that_wants_it_is_unreachable(encrypted: Server) -> None:
    gateway = gateway_of(policy_of(encrypted.url.replace("rediss://", "redis://")), probed=False)
    with pytest.raises(ServerUnreachable, match="redis://127"):
        gateway.read()
    gateway.close()


def test_it_governs_over_a_socket(server_factory: ServerFactory) -> None:
    for kind in ServerKind:
        server = server_factory(kind, unixsocket=True, requirepass="secret")
        fill(server.client(), "app:analytics:", 20)
        with governing(policy_of(server.unix_url, server='limit = "8MB"')) as governor:
            governor.cycle()
            assert governor.state.error is None
            assert governor.state.reading is not None
            assert governor.state.reading.keys == 20


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    gateway = gateway_of(policy_of(f"unix://{tmp_path}/none.sock"), probed=False)
    with pytest.raises(ServerUnreachable, match=r"none\.sock"):
        gateway.read()
    gateway.close()
