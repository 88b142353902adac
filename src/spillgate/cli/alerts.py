"""``spillgate alerts``: a test to every receiver, and who they are."""

import secrets
import time
from dataclasses import dataclass

from spillgate.alerts.delivery import Receiver, Undelivered
from spillgate.alerts.receivers import named, receivers_of
from spillgate.alerts.words import trial
from spillgate.cli.options import PolicySource
from spillgate.cli.output import Exit, complain, emit, show
from spillgate.config import SETTINGS, Policy, QuietHours, Setting
from spillgate.errors import ConfigError
from spillgate.governor.clock import Clock
from spillgate.model import Level
from spillgate.units import format_duration, parse_duration

NOBODY = "there is no receiver: name some in the policy file, with notify in [alerts] or as [[webhook]]"


@dataclass(frozen=True, slots=True)
class Result:
    """How a test ended; ``error`` is None where it arrived."""

    receiver: Receiver
    error: str | None
    seconds: float


def send_tests(source: PolicySource, name: str | None, *, as_json: bool) -> Exit:
    """Send a test to the receivers, or to the one of that name.

    Raises:
        ConfigError: a receiver cannot be used, or there is none of that name.
        MissingExtra: apprise is wanted and not installed.
    """
    receivers = receivers_of(source.load(), Clock())
    chosen = [one for one in receivers if name in {None, one.name}]
    if not chosen and name is not None:
        known = ", ".join(one.name for one in receivers) or "none"
        raise ConfigError(f'there is no receiver "{name}" (named: {known})', source="command line", key="--receiver")
    if not chosen:
        return _nobody(as_json=as_json)
    results = [_sent(one) for one in chosen]
    if as_json:
        emit({"results": [_result(one) for one in results]})
    else:
        _tell(results)
    return Exit.ALARMED if any(one.error for one in results) else Exit.FINE


def listed(source: PolicySource, *, as_json: bool) -> Exit:
    """Tell who is told of what.

    Raises:
        ConfigError: the policy cannot be used.
    """
    policy = source.load()
    rows = _receivers(policy)
    if as_json:
        emit({"receivers": rows, "settings": _settings(policy)})
        return Exit.FINE
    if rows:
        from spillgate.cli.screens import columns  # noqa: PLC0415 - see output.console

        table = columns("receiver", "kind", "address", "least told", "signed")
        for row in rows:
            signed = "-" if row["signed"] is None else "yes" if row["signed"] else "no"
            table.add_row(*(str(row[key]) for key in ("name", "kind", "address", "min_level")), signed)
        show(table)
    else:
        show(NOBODY)
    show("\n".join(f"{key} = {'none' if value is None else value}" for key, value in _settings(policy).items()))
    return Exit.FINE


def _nobody(*, as_json: bool) -> Exit:
    complain(NOBODY)
    if as_json:
        emit({"error": NOBODY, "kind": "ConfigError"})
    return Exit.USAGE


def _sent(receiver: Receiver) -> Result:
    began_s = time.monotonic()
    error = None
    try:
        receiver.send(trial(time.time()), f"msg_{secrets.token_hex(16)}")
    except Undelivered as undelivered:
        error = str(undelivered)
    return Result(receiver, error, time.monotonic() - began_s)


def _result(result: Result) -> dict[str, object]:
    """What ``test --json`` prints of each; docs/alerts.md has its fields."""
    one = result.receiver
    return {
        "receiver": one.name,
        "kind": one.kind,
        "address": one.address,
        "delivered": result.error is None,
        "error": result.error,
        "seconds": round(result.seconds, 3),
    }


def _tell(results: list[Result]) -> None:
    from spillgate.cli.screens import columns  # noqa: PLC0415 - see output.console

    table = columns("receiver", "address", "took*", "")
    for one in results:
        how = f"failed: {one.error}" if one.error else "delivered"
        table.add_row(one.receiver.name, one.receiver.address, format_duration(round(one.seconds, 3)), how)
    show(table)


def _receivers(policy: Policy) -> list[dict[str, object]]:
    """What ``list --json`` says of each; ``signed`` is None where there is no choice."""
    return [
        {
            "name": one.name,
            "kind": one.kind,
            "address": one.url.address,
            "min_level": one.min_level.label,
            "signed": None if one.webhook is None else one.webhook.secret is not None,
        }
        for one in named(policy)
    ]


def _settings(policy: Policy) -> dict[str, object]:
    """The table [alerts] as it is in force, but for the addresses."""
    ours = [one for one in SETTINGS if one.table == "alerts" and one.key != "notify"]
    return {one.key: _written(one, getattr(policy.alerts, one.field)) for one in ours}


def _written(setting: Setting, value: object) -> object:
    if isinstance(value, Level):
        return value.label
    if isinstance(value, QuietHours):
        return str(value)
    return format_duration(value) if setting.read is parse_duration and isinstance(value, float) else value
