"""The governor's state as ``application/health+json`` (draft-inadarei-api-health-check-06), for who asks for that.

Pure, and with the status codes of the document that everybody else gets.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

from spillgate.governor.state import State
from spillgate.model import Level
from spillgate.web import views
from spillgate.web.views import Document

MEDIA_TYPE = "application/health+json"

_PLAIN_TYPE = "application/json"
# What would be answered with the fixed document, the most specific first.
_PLAIN_RANGES = (_PLAIN_TYPE, "application/*", "*/*")
_RELEASE = metadata.version("spillgate")
_PASS, _WARN, _FAIL = "pass", "warn", "fail"
_ORDER = (_PASS, _WARN, _FAIL)
_BY_LEVEL = {Level.NORMAL: _PASS, Level.CRITICAL: _FAIL}  # the levels between them warn


def health_json(state: State) -> tuple[int, Document]:
    """The status code and the document.

    ``pass`` at normal, ``warn`` from warning on and while cleanups fail, ``fail`` at critical and while the server is
    not read: exactly then the code is 503. A check that has no ``status`` is there for its number alone; what is
    unknown is None, and with the time of the last look where it is old.
    """
    code, _ = views.health(state)
    checks = _checks(state)
    status = _FAIL if code >= 400 else _worst(checks.values())  # noqa: PLR2004 - where the errors of HTTP begin
    document: Document = {
        "status": status,
        "version": _RELEASE.partition(".")[0],
        "releaseId": _RELEASE,
        "serviceId": "spillgate",
        "description": "memory of a Redis or Valkey server that Spillgate keeps below its limit",
        "checks": {name: [check] for name, check in checks.items()},
    }
    if status != _PASS and (output := _output(state)):
        document["output"] = output
    return code, document


def _checks(state: State) -> dict[str, Document]:
    reading, known = state.reading, state.assessment
    level = _BY_LEVEL.get(known.level, _WARN) if known else None
    reason = known.reason if known and known.level is not Level.NORMAL else None
    forecast = round(known.forecast, 4) if known else None
    checks = {
        "redis:memory": _measured(state, reading.counted_bytes if reading else None, "bytes", level, reason),
        "redis:pressure": _measured(state, round(known.pressure, 4) if known else None, "ratio", level, reason),
        "redis:forecast": _measured(state, forecast, "ratio"),
        "redis:timeToLimit": _measured(state, views.time_to_limit_s(state), "seconds"),
        "redis:keys": _measured(state, reading.keys if reading else None, "keys"),
        "redis:evictedKeys": _measured(state, reading.evicted_keys if reading else None, "keys"),
        "redis:refusedWrites": _measured(state, reading.refused_writes if reading else None, "writes"),
    }
    return checks | dict(_governor(state))


def _governor(state: State) -> Iterator[tuple[str, Document]]:
    """Whether the governor reads the server, and whether it can do what it plans."""
    error = views.error_of(state)
    unread = views.status_of(state) == views.UNREACHABLE
    look = {"componentType": "component", "observedValue": views.utc(state.at_unix_s)}
    yield "governor:lastLook", look | _status(state, _FAIL if unread else _PASS, error if unread else None)
    failing = error is not None and not unread
    cleanup = {"componentType": "component", "observedValue": state.totals.actions, "observedUnit": "actions"}
    yield "governor:cleanup", cleanup | _status(state, _WARN if failing else _PASS, error if failing else None)


def _measured(
    state: State, value: float | None, unit: str, status: str | None = None, output: str | None = None
) -> Document:
    """One number of the server, as it was when last read."""
    number: Document = {"componentType": "datastore", "observedValue": value, "observedUnit": unit}
    return number | _status(state, status, output)


def _status(state: State, status: str | None, output: str | None) -> Document:
    """Those of its members that are known; without ``output`` nothing is wrong."""
    members = {"status": status, "time": views.utc(state.at_unix_s), "output": output}
    return {name: value for name, value in members.items() if value is not None}


def _worst(checks: Iterable[Mapping[str, object]]) -> str:
    found = {check.get("status") for check in checks}
    return max((status for status in _ORDER if status in found), key=_ORDER.index, default=_PASS)


def _output(state: State) -> str | None:
    """Why it does not pass."""
    return views.error_of(state) or (state.assessment.reason if state.assessment else None)


def prefers_health_json(accept: str | None) -> bool:
    """Whether an Accept header asks for ``application/health+json`` by name, and no less than for plain JSON.

    Wildcards ask for the fixed document. Of what cannot be read nothing counts.
    """
    qualities = _qualities(accept or "")
    plain = next((qualities[name] for name in _PLAIN_RANGES if name in qualities), 0.0)
    asked = qualities.get(MEDIA_TYPE, 0.0)
    return asked > 0 and asked >= plain


def _qualities(accept: str) -> dict[str, float]:
    """The quality of each media range (RFC 9110, 12.5.1); of one that is named twice the higher."""
    found: dict[str, float] = {}
    for element in accept.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        quality = _quality(next((value for key, _, value in pairs if key.strip() == "q"), "1"))
        if name and quality is not None:
            found[name] = max(quality, found.get(name, 0.0))
    return found


def _quality(text: str) -> float | None:
    """A number from 0 to 1; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None
