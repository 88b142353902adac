"""``spillgate advise``: from what a process of the cache library recorded, and from a server alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_cli_cleanup import on_a_terminal
from tests.governing import MB, fill
from tests.programs import ends_of, environment, spillgate, untouched
from tests.unit.test_ttl_ages import for_ever, snapshot, soon_after

if TYPE_CHECKING:
    from pathlib import Path

    from spillgate.model import KeySample
    from tests.acceptance.conftest import Typed
    from tests.conftest import ServerFactory
    from tests.servers import Server

# Ten hours of an application in some seconds: it reads popular pages again and again, and results within minutes only.
# Its recorder runs by a clock that is turned, and what would have expired by that is deleted behind its back.
APPLICATION = """
import random, sys
from bisect import bisect
from itertools import accumulate
from redis import Redis
from spillgate import Cache
from spillgate.cache import recorder
from spillgate.cache.reuse import Sample

now_s = 1000.0
recorder._samples["shared"] = Sample(lambda: now_s)
chance, cache, server = random.Random(1), Cache.from_url(config=sys.argv[1]), Redis.from_url(sys.argv[2])
pages, results, users = spaces = [cache.namespace(name) for name in ("pages", "results", "users")]
ttls, ends = {"pages": 600, "results": 7200, "users": 900}, {}
weights = list(accumulate(1 / rank for rank in range(1, 1001)))
last = []
for batch in range(2400):
    now_s += 15
    gone = [key for key, end_s in ends.items() if end_s <= now_s]
    if gone:
        server.delete(*gone)
    for key in gone:
        del ends[key]
    names = {str(bisect(weights, chance.random() * weights[-1])) for _ in range(15)}
    for space, keys in ((pages, names), (results, set(last)), (users, {str(chance.randrange(20))})):
        found = space.get_many(sorted(keys))
        missing = keys - found.keys()
        space.set_many({key: "x" * 500 for key in missing})
        ends |= {f"shop:{space.name}:{key}": now_s + ttls[space.name] for key in missing}
    last = [f"{batch}:{n}" for n in range(4)] + last[:8]
for _ in range(4):
    cache._client.recorder.due_s = 0.0
    cache.ping()
"""
POLICY = """\
# what the shop may use
[server]
url = "{url}"   # one of its own
limit = '25MB'

[[namespace]]
name = "pages"
keys = "shop:pages:*"
ttl = "10m"            # for now
cleanup = "clear"
priority = 1

[[namespace]]
name = "results"
keys = "shop:results:*"
ttl = "2h" # long ago
max_ttl = "2h"
cleanup = "clear"
priority = 2

[[namespace]]
name = "users"   # protected
keys = "shop:users:*"
ttl = "15m"

[[namespace]]
name = "others"
keys = "shop:others:*"
ttl = "15m"
"""


def advised(typed: Typed, *arguments: str, server: Server | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document, and its namespaces by name."""
    told = typed("advise", "--json", *arguments, server=server)
    assert told.returncode == 0
    document = json.loads(told.stdout)
    return document, {row["name"]: row for row in document["namespaces"]}


def test_ttls_are_advised_from_what_an_application_recorded_and_written(
    valkey: Server, tmp_path: Path, typed: Typed
) -> None:
    file = tmp_path / "shop.toml"
    text = POLICY.format(url=valkey.url)
    file.write_text(text)
    file.chmod(0o640)
    subprocess.run(
        [sys.executable, "-c", APPLICATION, str(file), valkey.url], env=environment(), check=True, timeout=60
    )
    client = valkey.client()
    fill(client, "other:", 100, 100)
    before = ends_of(client)
    document, rows = advised(typed, "--config", str(file))

    pages, results, users, others = (rows[name] for name in ("pages", "results", "users", "others"))
    assert (pages["basis"], pages["lever"]) == ("recorder", True)
    assert pages["confidence"] in {"medium", "high"}
    assert 600 < pages["recommended_s"] <= 2400
    assert pages["hits_lost"]["high"] < 0
    assert pages["freed_bytes"]["value"] < 0
    assert (results["basis"], results["ttl_s"]) == ("recorder", 7200)
    assert results["recommended_s"] == 1200
    assert results["hits_lost"]["value"] < 0.002
    assert 0.5 < results["freed_bytes"]["value"] / results["bytes"]["value"] < 1
    assert users["recommended_s"] >= users["ttl_s"]
    assert (others["recommended_s"], others["hit_ratio"]) == (None, None)
    assert "no reads of it were recorded, and it has no keys now" in others["reason"]
    assert document["fits"] is True
    assert document["hit_ratio_then"] > document["hit_ratio"]
    # 92 % of the limit may be used, and cleanup begins at 80 % of that.
    assert 14 * MB < document["target_bytes"] < 0.8 * 0.92 * 25 * MB
    small, _ = advised(typed, "--config", str(file), "--target", "2MB")
    assert small["target_bytes"] < 2 * MB
    assert small["bytes_then"] <= document["bytes_then"]

    shown = typed("advise", "--config", str(file))
    assert shown.returncode == 0
    assert "pages" in shown.stdout
    assert "wins" in shown.stdout
    assert file.read_text() == text
    assert typed("advise", "--config", str(file), "--write").returncode == 2  # nobody to ask
    assert file.read_text() == text

    told = spillgate("advise", "--config", str(file), "--write", "--yes", "--json")
    assert told.returncode == 0
    assert json.loads(told.stdout)["written"] == [one for one in ("pages", "results", "users") if changed(rows[one])]
    assert '-ttl = "2h" # long ago\n+ttl = "20m" # long ago\n' in told.stderr
    differing = [new for old, new in zip(text.splitlines(), file.read_text().splitlines(), strict=True) if old != new]
    assert all(line.startswith("ttl = ") for line in differing)
    assert 'ttl = "20m" # long ago' in differing
    assert file.stat().st_mode & 0o777 == 0o640
    assert untouched(before, client)
    again = typed("advise", "--config", str(file), "--write", "--yes")
    assert again.returncode == 0


def changed(row: dict[str, Any]) -> bool:
    """Whether a row asks for another TTL with enough confidence."""
    return row["recommended_s"] not in {None, row["ttl_s"]} and row["confidence"] in {"medium", "high"}


def test_from_a_server_alone_without_and_with_a_policy(server: Server, tmp_path: Path, typed: Typed) -> None:
    client = server.client()
    aged(client, "page:", snapshot(soon_after, 4000)[0])
    aged(client, "feed:", snapshot(for_ever, 1000)[0])
    fill(client, "cart:", 200, 100, None)
    document, rows = advised(typed, server=server)
    assert document["target_bytes"] is None
    assert "no namespace is registered" in document["notes"][0]
    assert "no process of the cache library" in document["notes"][1]
    assert (rows["page:*"]["basis"], rows["page:*"]["hits_lost"], rows["page:*"]["confidence"]) == (
        "server",
        None,
        "low",
    )
    assert "200 of 200 keys looked at have no TTL" in rows["cart:*"]["reason"]

    file = tmp_path / "policy.toml"
    cleaned = 'ttl = "1h"\ncleanup = "clear"\npriority = 1\n'
    file.write_text("".join(f'[[namespace]]\nname = "{one}"\nkeys = "{one}:*"\n{cleaned}' for one in ("page", "feed")))
    client.config_set("maxmemory", 25 * MB)
    _, rows = advised(typed, "--config", str(file), server=server)
    page, feed = rows["page"], rows["feed"]
    assert (page["basis"], page["confidence"], page["recommended_s"]) == ("server", "medium", 600)
    assert 0.7 < page["freed_bytes"]["value"] / page["bytes"]["value"] < 0.9  # five sixths
    assert (page["hit_ratio"], page["hits_lost"]) == (None, None)
    assert "a bound, no count of hits" in page["reason"]
    assert (feed["recommended_s"], feed["lever"]) == (3600, False)
    assert "too many for a shorter TTL" in feed["reason"]

    client.config_set("maxmemory-policy", "allkeys-lfu")
    _, rows = advised(typed, "--config", str(file), server=server)
    assert (rows["page"]["basis"], rows["page"]["recommended_s"]) == ("none", None)
    assert "LFU" in rows["page"]["reason"]


@pytest.mark.parametrize(("answer", "code", "ttl"), [("n\n", 1, "1h"), ("y\n", 0, "10m"), ("\x03", 130, "1h")])
def test_on_a_terminal_it_shows_the_change_and_asks(
    answer: str, code: int, ttl: str, valkey: Server, tmp_path: Path
) -> None:
    aged(valkey.client(), "page:", snapshot(soon_after, 4000)[0])
    file = tmp_path / "policy.toml"
    text = '[[namespace]]\nname = "page"\nkeys = "page:*"\nttl = "{}" # ...\ncleanup = "clear"\npriority = 1\n'
    file.write_text(text.format("1h"))
    told, ended = on_a_terminal(answer, "advise", "--write", "--config", str(file), server=valkey)
    assert '+ttl = "10m" # ...' in told
    assert f"Change 1 TTLs in {file}? [y/N]" in told
    assert ended == code, told
    assert file.read_text() == text.format(ttl)
    assert "Traceback" not in told


def aged(client: Any, prefix: str, keys: list[KeySample]) -> None:
    """Keys that have been there for a while: with so much left to live, and idle for so long."""
    client.set("pattern", "x" * 300)
    payload = client.dump("pattern")
    client.delete("pattern")
    pipe = client.pipeline(transaction=False)
    for number, key in enumerate(keys):
        pipe.restore(f"{prefix}{number}", max(1000, key.ttl_ms or 0), payload, idletime=key.idle_s)
    pipe.execute()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--write",), "there is no policy file to write to: name it with --config"),
        (("--yes",), "--yes: has a meaning with --write only"),
        (("--target", "much"), 'command line: --target: expected a size such as "25MB" or "256KB"'),
        (("--target", "0"), "--target: must be more than 0"),
        (("--error", "x"), "command line: --error: expected a share"),
    ],
)
def test_what_cannot_be_meant(typed: Typed, arguments: tuple[str, ...], message: str) -> None:
    told = typed("advise", *arguments)
    assert told.returncode == 2
    assert message in told.stderr


def test_a_server_that_is_not_there(typed: Typed, server_factory: ServerFactory) -> None:
    server = server_factory()
    server.kill()
    assert typed("advise", "--json", server=server).returncode == 3
