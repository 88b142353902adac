"""TTLs recommended from what was measured: collecting it from a server, advising, and the document of ``advise``."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain

from spillgate.cache.recording import Namespace, Recording, read_recordings
from spillgate.census.survey import take_survey
from spillgate.config import Cleanup, NamespacePolicy, Policy
from spillgate.errors import ServerError
from spillgate.foresight.advising_curves import costs_of, curves_of, table_bytes
from spillgate.model import Census, Estimate, Survey, Usage
from spillgate.policy.ttl import Advice, TtlPlan
from spillgate.policy.ttl_advice import plan
from spillgate.policy.ttl_ages import Ages, Untold, ages_of
from spillgate.policy.ttl_curve import Curve
from spillgate.policy.ttl_subject import Measured, Subject
from spillgate.server.driver import Driver
from spillgate.server.gateway import Gateway
from spillgate.units import format_duration, rounded

_FEW_KEYS = 10_000  # are all looked at one by one
_MOST_PREFIXES = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server tells: what fills its memory, and what processes of the cache library recorded.

    ``recording`` is None where that could not be read, for ``why``.
    """

    survey: Survey
    recording: Recording | None
    why: str | None = None


def look(gateway: Gateway, policy: Policy, error: float, asked_to_stop: Callable[[], bool] = lambda: False) -> Seen:
    """Look at the keys of a server, at each where there are few, and read what was recorded; nothing is changed.

    ``error`` is the largest wanted of the survey.

    Raises:
        ServerError: the server failed, or does not let keys be visited.
        BudgetExhausted: the day's commands were spent before a single key was looked at.
    """
    gateway.probe()
    seen = gateway.read()
    if seen.keys is not None and seen.keys + (seen.other_keys or 0) <= _FEW_KEYS:
        error = 0.0
    survey = take_survey(gateway, error=error, asked_to_stop=asked_to_stop)
    most = policy.monitor.commands_per_day
    with closing(
        Driver(policy.server, allow=lambda: most - gateway.commands - driver.commands if most else None)
    ) as driver:
        try:
            return Seen(survey, read_recordings(driver.call))
        except ServerError as failed:
            return Seen(survey, None, f"recordings of the cache library could not be read: {failed}")


def advise(
    policy: Policy,
    census: Census | Survey,
    recording: Recording | None,
    *,
    target_bytes: int | None = None,
    used_bytes: int | None = None,
    limit_bytes: int | None = None,
) -> TtlPlan:
    """What TTLs are recommended.

    ``target_bytes`` is how much memory the server shall use in all, by default the preventive share of the ceiling.
    A `Census` says neither what is used in all nor what the server's own limit is: ``used_bytes`` and ``limit_bytes``
    do, where it is one; what a `Survey` says is used where they are None.
    """
    own = census.own if isinstance(census, Survey) else census
    if isinstance(census, Survey):
        used_bytes = census.used_bytes if used_bytes is None else used_bytes
        limit_bytes = limit_bytes or int(census.info.get("maxmemory", "0") or 0)
    tables = table_bytes(census) if isinstance(census, Survey) else 0.0
    curves = curves_of(recording, census, policy) if recording is not None else {}
    subjects = tuple(_subjects(policy, own, recording, curves, tables))
    goal = _goal(policy, limit_bytes) if target_bytes is None else target_bytes
    planned = plan(subjects, None if goal is None else _for_data(subjects, goal, used_bytes))
    notes = chain(_notes(policy, recording), census.notes if isinstance(census, Survey) else ())
    return replace(planned, notes=tuple(notes))


def _goal(policy: Policy, limit_bytes: int | None) -> int | None:
    """The memory below which loss-free cleanup does not even begin, less the reserve's share of it."""
    known = [size for size in (policy.server.limit_bytes, limit_bytes) if size]
    if not known:
        return None
    limit = min(known)
    return round((limit - policy.server.reserve_for(limit)) * policy.levels.preventive)


def _for_data(subjects: tuple[Subject, ...], goal: int, used_bytes: int | None) -> int:
    """What of a goal for all memory is left for these namespaces: what is used now by anything else stays."""
    held = sum(_held(subject) for subject in subjects)
    return max(0, round(goal - max(0.0, (used_bytes or held) - held)))


def _held(subject: Subject) -> float:
    if subject.bytes is not None:
        return subject.bytes.value
    measured = subject.measured()
    return measured.bytes_at(measured.ttl_s).value if isinstance(measured, Measured) else 0.0


def _subjects(
    policy: Policy, own: Census, recording: Recording | None, curves: Mapping[str, Curve], tables: float
) -> Iterator[Subject]:
    costs = costs_of(curves, policy)
    for namespace in policy.namespaces:
        usage = own.usage(namespace.name)
        curve = curves.get(namespace.name)
        seen = _recorded(namespace.name, recording)
        told, why = _ages(namespace, usage, seen)
        unread = _unread(seen, recording)
        yield Subject(
            name=namespace.name,
            ttl_s=namespace.ttl_s,
            min_s=_least(namespace),
            max_s=namespace.max_ttl_s,
            protected=namespace.protected,
            jitter=namespace.jitter if curve is not None else 0.0,
            cost=costs[namespace.name],
            bytes=_bytes(usage, tables),
            curve=curve,
            ages=told,
            why=f"{unread}, and {why}" if why else unread,
            trimmed=namespace.cleanup not in {Cleanup.NEVER, Cleanup.EXPIRED},
        )
    if not policy.namespaces:
        yield from (_prefix(usage, tables) for usage in own.prefixes[:_MOST_PREFIXES])


def _recorded(name: str, recording: Recording | None) -> Namespace | None:
    """What was recorded of a namespace."""
    found = (one for one in recording.namespaces if one.name == name and one.processes) if recording else ()
    return next(iter(found), None)


def _unread(seen: Namespace | None, recording: Recording | None) -> str:
    """Why there is no curve of a namespace."""
    if seen is None and recording is not None and recording.left_out:
        return "no reads of it were recorded, or it was left out of a recording for want of room"
    if seen is None:
        return "no reads of it were recorded"
    recorded = format_duration(seen.covered_s / seen.processes)
    if seen.reads:
        return f"it was recorded for {recorded} only, which tells nothing yet; ask again later"
    return f"{seen.writes:,} writes and no read were recorded in {recorded}: TTL is no lever for hits that nobody wants"


def _prefix(usage: Usage, tables: float) -> Subject:
    """Keys of no namespace, where there is no policy: what they have left tells which TTL they are written with."""
    told: Ages | None = None
    why = "it is in no namespace"
    try:
        told = ages_of(usage.sample, None)
    except Untold as reason:
        why = str(reason)
    return Subject(usage.name, None, bytes=_bytes(usage, tables), ages=told, why=why, named=False)


def _ages(namespace: NamespacePolicy, usage: Usage | None, seen: Namespace | None) -> tuple[Ages | None, str]:
    """The ages of its keys, or why they are unknown."""
    if seen is not None and seen.writes and not seen.reads:
        return None, ""
    if usage is None or not usage.keys.value:
        return None, "it has no keys now"
    if namespace.sliding:
        return None, "reading its keys renews their TTL, so their age tells nothing"
    try:
        return ages_of(usage.sample, namespace.ttl_s, namespace.jitter if seen is not None else 0.0), ""
    except Untold as reason:
        return None, str(reason)


def _least(namespace: NamespacePolicy) -> float | None:
    """The least that its TTL may become: the policy refuses a ttl below emergency_ttl, too."""
    known = [ttl_s for ttl_s in (namespace.min_ttl_s, namespace.emergency_ttl_s) if ttl_s is not None]
    return max(known, default=None)


def _bytes(usage: Usage | None, tables: float) -> Estimate | None:
    """What its keys hold, with their part of the key tables."""
    if usage is None or usage.bytes is None:
        return None
    return Estimate(
        usage.bytes.value + tables * usage.keys.value,
        usage.bytes.low + tables * usage.keys.low,
        usage.bytes.high + tables * usage.keys.high,
    )


def _notes(policy: Policy, recording: Recording | None) -> Iterator[str]:
    if not policy.namespaces:
        yield (
            "no namespace is registered, so these are prefixes, and nothing says which TTL they are written with, what "
            "may go, or what rebuilding costs: name them in a policy file (--config)"
        )
    if recording is None or not recording.processes:
        yield (
            "no process of the cache library has published what it reads: hits are unknown, and all there is are "
            "bounds drawn from ages and idle times"
        )
    if recording is None:
        return
    known = {namespace.name for namespace in policy.namespaces}
    unknown = sorted(one.name for one in recording.namespaces if one.name not in known)
    if unknown:
        yield f"recorded, but not in this policy: {', '.join(unknown)}"
    if recording.unreadable:
        yield f"recordings that could not be read, of another version perhaps: {recording.unreadable:,}"
    if recording.left_out:
        yield f"namespaces that processes had no room to record: {recording.left_out:,}"


def document(done: TtlPlan) -> dict[str, object]:
    """What ``spillgate advise --json`` prints; docs/advise.md has its fields."""
    return {
        "target_bytes": done.target_bytes,
        "fits": done.fits,
        "hit_ratio": _number(done.hit_ratio, 4),
        "hit_ratio_then": _number(done.hit_ratio_then, 4),
        "bytes": _number(done.bytes),
        "bytes_then": _number(done.bytes_then),
        "namespaces": [_row(advice) for advice in done.advices],
        "notes": list(done.notes),
    }


def _row(advice: Advice) -> dict[str, object]:
    return {
        "name": advice.name,
        "ttl_s": _number(advice.ttl_s, 3),
        "recommended_s": _number(advice.recommended_s, 3),
        "hit_ratio": _ends(advice.hit_ratio, 4),
        "hit_ratio_then": _ends(advice.hit_ratio_then, 4),
        "bytes": _ends(advice.bytes),
        "bytes_then": _ends(advice.bytes_then),
        "freed_bytes": _ends(advice.freed_bytes),
        "hits_lost": _ends(advice.hits_lost, 4),
        "budget_bytes": advice.budget_bytes,
        "basis": advice.basis.value,
        "confidence": advice.confidence.value,
        "lever": advice.lever,
        "reason": advice.reason,
    }


def _ends(estimate: Estimate | None, digits: int = 0) -> dict[str, float | None] | None:
    return None if estimate is None else estimate.ends(digits)


def _number(number: float | None, digits: int = 0) -> float | None:
    return None if number is None else rounded(number, digits)
