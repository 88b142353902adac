"""``ttl_mode = "auto"`` on the command line: what is shown of TTLs in force, by whom, and that an edit ends it."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from spillgate.keyspace.ttls import TTLS_KEY, InForce, written
from tests.governing import NAMESPACES
from tests.programs import running
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Typed
    from tests.servers import Server


def test_ttls_in_force_are_shown_beside_the_files_and_an_edit_ends_it(
    valkey: Server, typed: Typed, tmp_path: Path
) -> None:
    client, file = valkey.client(), tmp_path / "spillgate.toml"
    text = f'[server]\nurl = "{valkey.url}"\nlimit = "25MB"\n[monitor]\nttl_mode = "auto"\n{NAMESPACES}'
    file.write_text(text)
    client.set(TTLS_KEY, written({"messages": InForce(1620, 1800)}), ex=60)  # as another governor leaves it
    with running("--config", str(file)) as governor:
        governor.awaits("messages: the TTL stays 27m (the policy file has 30m), because it was in force before")
        shown = typed("status", "--config", str(file)).stdout
        assert "TTLs      messages: 27m (the policy file has 30m)" in shown
        document = json.loads(typed("status", "--config", str(file), "--json").stdout)
        served = json.loads(governor.get("/api/state").body)
        for one in (document, served):
            rows = {row["name"]: (row["ttl_s"], row["ttl_file_s"]) for row in one["namespaces"]}
            assert rows["messages"] == (1620, 1800)
            assert rows["pages"] == (600, 600)
            assert rows["tasks"] == (None, None)
        assert 'ttl_mode = "auto" does nothing here' in typed("tick", "--config", str(file)).stdout
        assert client.exists(TTLS_KEY)
        file.write_text(text.replace('ttl = "30m"', 'ttl = "20m"'))
        governor.process.send_signal(signal.SIGHUP)
        governor.awaits("messages: the TTL changes from 27m to 20m of the policy file, because the policy file has")
        eventually(lambda: not client.exists(TTLS_KEY))
        assert governor.ends(signal.SIGTERM) == 0
