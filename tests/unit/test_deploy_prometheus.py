"""What stands in deploy/ for Prometheus and Grafana: their own tools take it, and it speaks of what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from spillgate.web.measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
GENERATOR = ROOT / "scripts" / "grafana_dashboard.py"
PAGE = ROOT / "docs" / "monitoring.md"
GROUP = cast("dict[str, Any]", yaml.safe_load((PROMETHEUS / "rules.yml").read_text()))["groups"][0]
RULES = cast("list[dict[str, Any]]", GROUP["rules"])
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
NAMES = {measure.prometheus for measure in MEASURES} | {rule["record"] for rule in RULES if "record" in rule}
# What prometheus_client says of a process on Linux.
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".+", "$server": "s"}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it among the rules."""
    return subprocess.run(
        [shutil.which("promtool") or "", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )


def named(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(r"\b(?:spillgate|process)[a-z_:]+", re.sub(r'"[^"]*"', "", expression)))


def panels() -> Iterator[dict[str, Any]]:
    """Those of the dashboard that show something."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def expressions() -> dict[str, str]:
    """The dashboard's queries by where they stand, without Grafana's variables."""
    found: dict[str, str] = {}
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            found[f"{panel['id']} {target['refId']}"] = expression
    return found


@pytest.mark.requires("promtool")
class TestPromtool:
    @pytest.mark.parametrize(
        "arguments",
        [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")],
        ids=" ".join,
    )
    def test_it_is_content(self, arguments: tuple[str, ...]) -> None:
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_every_query_of_the_dashboard_can_be_read(self, tmp_path: Path) -> None:
        rules = [{"record": f"q:{re.sub(' ', '_', where)}", "expr": query} for where, query in expressions().items()]
        path = tmp_path / "queries.yml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        done = promtool("check", "rules", path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{len(rules)} rules found" in done.stdout


class TestRules:
    def test_they_ask_for_metrics_that_there_are(self) -> None:
        assert {name: named(rule["expr"]) - NAMES for name, rule in ALERTS.items() if named(rule["expr"]) - NAMES} == {}

    def test_each_is_for_somebody_and_has_its_section_in_the_documentation(self) -> None:
        sections = re.findall(r"^### (Spillgate\w+)$", PAGE.read_text(), re.MULTILINE)
        assert sections == list(ALERTS)
        for name, rule in ALERTS.items():
            assert rule["labels"]["severity"] in {"warning", "critical", "emergency"}
            assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
            anchor = f"{{{{ $externalLabels.spillgate_docs }}}}monitoring.html#{name.lower()}"
            assert rule["annotations"]["runbook_url"] == anchor

    def test_each_is_tested_firing_and_with_its_words(self) -> None:
        tests = cast("dict[str, Any]", yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text()))["tests"]
        cases = [case for test in tests for case in test.get("alert_rule_test", ())]
        assert {case["alertname"] for case in cases if case["exp_alerts"]} == ALERTS.keys()
        assert {case["alertname"] for case in cases if not case["exp_alerts"]} == ALERTS.keys()

    def test_the_thresholds_are_those_of_the_deployment_it_was_made_for(self) -> None:
        shares = {
            name: float(found[1]) for name, rule in ALERTS.items() if (found := re.search(r">= (0\.\d+)", rule["expr"]))
        }
        assert shares == {
            "SpillgateMemoryWarning": 0.8,
            "SpillgateMemoryCritical": 0.88,
            "SpillgateMemoryEmergency": 0.92,
        }


class TestDashboard:
    def test_it_is_what_the_script_makes(self) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "error", GENERATOR, "--check"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_grafanas_own_model_takes_all_of_it(self) -> None:
        document = json.loads(DASHBOARD.read_text())
        again = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(Dashboard.from_json(document)))
        assert again == document

    def test_it_asks_for_metrics_that_there_are(self) -> None:
        known = NAMES | PROCESS
        assert {where: named(query) - known for where, query in expressions().items() if named(query) - known} == {}
        variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
        assert named(" ".join(one["query"] for one in variables)) <= NAMES

    def test_it_shows_every_measure_that_is_no_detail(self) -> None:
        shown = {name for query in expressions().values() for name in named(query)} | {"spillgate_server_info"}
        details = {
            # in the table of the documentation, for rules and queries of one's own
            *("spillgate_build_info", "spillgate_next_look_seconds", "spillgate_unavailable_commands"),
            *("spillgate_rss_bytes", "spillgate_pressure_ratio", "spillgate_eviction_policy_info", "spillgate_keys"),
            *("spillgate_other_database_keys", "spillgate_connected_clients", "spillgate_namespace_keys_bound"),
            *("spillgate_checkup_timestamp_seconds", "spillgate_library_processes"),
        }
        assert {measure.prometheus for measure in MEASURES} - shown <= details

    def test_panels_fit_side_by_side_and_say_what_they_show(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in panels():
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24
            assert not cells & taken
            taken |= cells
            assert panel["description"].endswith(".")
            assert panel["options"] is not None
            assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}

    def test_one_can_choose_the_data_source_and_the_server(self) -> None:
        variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
        assert [(one["name"], one["hide"]) for one in variables] == [("datasource", 0), ("server", 0), ("instance", 2)]
