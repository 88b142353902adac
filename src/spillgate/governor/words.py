"""What the journal says, in plain words."""

from collections.abc import Iterator, Mapping

from spillgate.config import Policy, ServerSettings
from spillgate.errors import mask_url
from spillgate.governor.journal import Event
from spillgate.model import Action, Census, Level, Outcome, Plan, Reading, Usage
from spillgate.policy.pressure import Assessment
from spillgate.policy.steering import Change, Steered
from spillgate.server.capabilities import Capabilities
from spillgate.server.scanning import RuleCount
from spillgate.units import format_bytes, format_duration


def started(policy: Policy, *, dry_run: bool) -> str:
    """The governor begins."""
    mode = "dry run: nothing will be deleted or re-timed; " if dry_run else ""
    expendable = sum(not ns.protected for ns in policy.namespaces)
    url = mask_url(policy.server.url)
    return f"{mode}governing {url}: {expendable} of {len(policy.namespaces)} namespaces are expendable"


def connected(server: ServerSettings, capabilities: Capabilities) -> str:
    """A server that was probed."""
    user = f" as {capabilities.user}" if capabilities.user else ""
    version = capabilities.version or "of unknown version"
    return f"connected to {mask_url(server.url)}{user}: {capabilities.product} {version}"


def changes(before: Reading | None, after: Reading) -> Iterator[tuple[Event, str]]:
    """What two readings in a row say happened in the server by itself."""
    if before is None:
        return
    if before.maxmemory_bytes != after.maxmemory_bytes:
        was, now = (format_bytes(size) if size else "none" for size in (before.maxmemory_bytes, after.maxmemory_bytes))
        yield Event.SERVER, f"the server's maxmemory changed from {was} to {now}"
    if before.eviction_policy != after.eviction_policy:
        yield Event.SERVER, f"the server's eviction policy changed: {before.eviction_policy} to {after.eviction_policy}"
    if refused := _rise(before.refused_writes, after.refused_writes):
        yield Event.ALARM, f"the server refused {refused} writes for want of memory"
    if evicted := _rise(before.evicted_keys, after.evicted_keys):
        yield Event.ALARM, f"the server itself evicted {evicted} keys ({after.eviction_policy})"


def _rise(before: int | None, after: int | None) -> int:
    return max(0, after - before) if before is not None and after is not None else 0


def level_change(before: Assessment | None, after: Assessment) -> str:
    """A level entered or left, or found at the start."""
    if before is None:
        return f"level {after.level.label}: {after.reason}"
    verb = "rises" if after.level > before.level else "falls"
    return f"level {verb} from {before.level.label} to {after.level.label}: {after.reason}{_time_left(after)}"


def _time_left(assessment: Assessment) -> str:
    left = assessment.time_to_limit_s
    if left is None or assessment.level < Level.WARNING:
        return ""
    rate = format_bytes(int(assessment.fill_bytes_s))
    return f"; {rate}/s coming in, {format_duration(round(left, 1))} to the limit"


def heaviest(census: Census) -> str:
    """The namespaces that hold most."""
    rows = census.heaviest()
    named = ", ".join(f"{row.name} {_weight(row)}" for row in rows)
    unregistered = census.unregistered_keys.value
    rest = f"; about {unregistered:.0f} keys match no namespace and stay" if unregistered else ""
    return f"heaviest namespaces: {named or 'none has keys'}{rest}"


def _weight(row: Usage) -> str:
    about = "" if row.keys.is_exact else "about "
    size = f"{format_bytes(int(row.bytes.value))} in " if row.bytes else ""
    return f"{about}{size}{row.keys.value:.0f} keys"


def upkeep(counts: Mapping[str, RuleCount], *, dry_run: bool) -> str:
    """TTLs given to keys that had none."""
    given = ", ".join(f"{count.retimed} of {name}" for name, count in counts.items() if count.retimed)
    return f"{'would give' if dry_run else 'gave'} a TTL to keys that had none: {given}"


def plan(decided: Plan, *, by_hand: bool, dry_run: bool) -> str:
    """A plan about to be carried out."""
    who = "cleanup by hand" if by_hand else "cleanup"
    steps = ", ".join(_step(action) for action in decided.actions)
    return f"{'dry run: ' if dry_run else ''}{who} at {decided.level.label}: {decided.reason}. Steps: {steps or 'none'}"


def _step(action: Action) -> str:
    return f"{action.kind.value} {', '.join(action.names)}".strip()


def outcome(done: Outcome) -> str:
    """One step, as it ended."""
    would = "would have " if done.dry_run else ""
    did: list[str] = []
    if done.deleted:
        names = ", ".join(f"{number} of {name}" for name, number in done.deleted_by_namespace.items())
        did.append(f"{would}deleted {names}")
    if done.expired:
        did.append(f"the server dropped {done.expired} expired")
    if done.retimed:
        did.append(f"{would}shortened {done.retimed} TTLs")
    what = "; ".join(did) or "found nothing to do"
    freed = f", {would}freed {format_bytes(done.freed_bytes)}" if done.freed_bytes else ""
    took = f"{done.visited} keys seen in {format_duration(round(done.seconds, 3))}"
    step = _step(done.action)
    why = f"{done.stop.value}: {done.error}" if done.error else done.stop.value
    return f"{step} ({done.action.reason}): {what}{freed} ({took}; {why})"


def worth_telling(done: Outcome) -> bool:
    """Whether a step changed anything, or failed."""
    return bool(done.deleted or done.expired or done.retimed or done.error or done.dry_run)


def outcome_details(done: Outcome) -> dict[str, object]:
    """The numbers of a step."""
    return {
        "kind": done.action.kind.value,
        "namespace": done.action.namespace,
        "together": done.action.together,
        "reason": done.action.reason,
        "deleted": done.deleted,
        "deleted_by_namespace": done.deleted_by_namespace,
        "expired": done.expired,
        "retimed": done.retimed,
        "freed_bytes": done.freed_bytes,
        "visited": done.visited,
        "calls": done.calls,
        "seconds": round(done.seconds, 6),
        "stop": done.stop.value,
        "dry_run": done.dry_run,
    }


def unadjusted(policy: Policy) -> str | None:
    """Why TTLs stay as they are though the policy leaves them to the governor; None where there is nothing to say."""
    if not policy.automatic or policy.adjustable:
        return None
    return 'ttl_mode = "auto" does nothing on a plan that meters commands (commands_per_day): TTLs stay as they are'


def ttl_change(change: Change, *, dry_run: bool) -> str:
    """A TTL that became another."""
    before, after, file = map(format_duration, (change.before_s, change.after_s, change.file_s))
    changes = "would change" if dry_run else "changes"
    back = " of the policy file" if change.after_s == change.file_s else f" (the policy file has {file})"
    return f"{change.name}: the TTL {changes} from {before} to {after}{back}, because {change.reason}"


def change_details(change: Change, *, dry_run: bool) -> dict[str, object]:
    """The numbers of that."""
    return {
        "namespace": change.name,
        "ttl_before_s": change.before_s,
        "ttl_s": change.after_s,
        "ttl_file_s": change.file_s,
        "reason": change.reason,
        "dry_run": dry_run,
    }


def resumed(name: str, one: Steered) -> str:
    """A TTL that another governor has left in force."""
    ttl, file = format_duration(one.ttl_s), format_duration(one.file_s)
    return f"{name}: the TTL stays {ttl} (the policy file has {file}), because {one.reason}"


def unpublished(error: Exception) -> str:
    """TTLs that applications do not hear of."""
    return f"TTLs in force could not be published, so applications write with those of their policy file: {error}"


def exhausted(decided: Plan, reading: Reading, census: Census | None) -> str:
    """Nothing is left that may be deleted, and the target is not reached."""
    held = ", ".join(f"{cause} {format_bytes(size)}" for cause, size in reading.held_bytes.items())
    others = f" There are {reading.other_keys} keys in other databases of this server." if reading.other_keys else ""
    holders = f"{heaviest(census)}. " if census else ""
    missing = format_bytes(max(0, reading.data_with(decided.shared_bytes) - decided.target_bytes))
    return (
        f"nothing is left that the policy lets go, and {missing} are missing to the target. {holders}"
        f"Not data: {held or 'nothing the server tells of'}.{others} "
        "Give more namespaces a cleanup, or choose a larger plan"
    )
