"""2: what is set, and what is not there."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from spillgate.config import Cleanup, TtlMode
from spillgate.errors import mask_url
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Block, Cell, Fact, Facts, Paragraph, Points, Section, Tone, code, say
from spillgate.report.sections.shared import NO_LIMIT
from spillgate.units import format_bytes, format_duration, format_share


def section(seen: Gathered) -> Section:
    """The current setup."""
    missing = seen.capabilities.missing()
    blocks: list[Block] = [
        Facts("server", tuple(_server(seen)), "Server"),
        Facts("policy", tuple(_policy(seen)), "Policy"),
        Facts("around", tuple(_around(seen)), "Around it"),
    ]
    if missing:
        items = tuple(say(code(name), f":{cost}") for name, _, cost in (text.partition(":") for text in missing))
        blocks.append(Points("missing", items, "What this server or plan does not allow, and what that costs"))
    else:
        blocks.append(Paragraph(say("This server allows everything that Spillgate asks for."), Tone.GOOD))
    return Section("setup", "Current setup", tuple(blocks))


def _server(seen: Gathered) -> Iterator[Fact]:
    can, reading = seen.capabilities, seen.reading
    url = seen.policy.server.url
    yield Fact("connection", "Connection", Cell(say(code(mask_url(url))), mask_url(url), note=_security(seen)))
    product = f"{can.product} {can.version or 'of unknown version'}"
    yield Fact("product", "Product", Cell(say(product), {"product": can.product, "version": can.version}))
    yield Fact("user", "User", Cell(say(code(can.user)), can.user) if can.user else wording.unknown("ACL is forbidden"))
    if seen.assessment is None:
        yield Fact("limit_bytes", "Limit", wording.unknown(NO_LIMIT))
    else:
        limits = seen.assessment.limits
        declared = seen.policy.server.limit_bytes
        source = "declared" if declared == limits.limit_bytes else "the server's maxmemory"
        yield Fact("limit_bytes", "Limit", _noted(wording.size(limits.limit_bytes), source))
        reserved = "declared" if seen.policy.server.reserve_bytes is not None else "8 % of the limit"
        yield Fact("reserve_bytes", "Reserve", _noted(wording.size(limits.reserve_bytes), reserved))
        yield Fact("ceiling_bytes", "Ceiling", _noted(wording.size(limits.ceiling_bytes), "the limit less the reserve"))
    own = reading.maxmemory_bytes
    yield Fact("maxmemory_bytes", "maxmemory", wording.size(own) if own else Cell(say("none"), 0, Tone.WATCH))
    yield _eviction(seen)
    yield Fact("keys", "Keys", _number(reading.keys, _others(reading.other_keys)))
    yield Fact("connections", "Connections", _number(reading.connected_clients))
    up = reading.uptime_s
    yield Fact("uptime_s", "Up for", wording.seconds(None if up is None else float(up), "INFO does not tell"))


def _security(seen: Gathered) -> str:
    scheme = urlsplit(seen.policy.server.url).scheme
    return {"rediss": "over TLS", "unix": "a socket of this machine"}.get(scheme, "without TLS")


def _noted(cell: Cell, note: str) -> Cell:
    return Cell(cell.words, cell.value, cell.tone, note)


def _others(keys: int | None) -> str:
    return f"and {keys:,} in other databases of this server" if keys else ""


def _number(number: int | None, note: str = "") -> Cell:
    return Cell(say(f"{number:,}"), number, note=note) if number is not None else wording.unknown("INFO does not tell")


def _eviction(seen: Gathered) -> Fact:
    policy = seen.reading.eviction_policy
    if policy is None:
        return Fact("eviction_policy", "Eviction policy", wording.unknown("INFO does not tell"))
    evicted = seen.reading.evicted_keys
    note = "writes are refused when it is full" if policy == "noeviction" else "the server evicts by itself when full"
    if evicted:
        note += f"; {evicted:,} keys evicted since it started"
    return Fact("eviction_policy", "Eviction policy", Cell(say(code(policy)), policy, note=note))


def _policy(seen: Gathered) -> Iterator[Fact]:
    policy, file = seen.policy, seen.request.deployment.config
    yield Fact(
        "file", "Policy file", Cell(say(code(file)), file) if file else Cell(say("none"), None, Tone.WATCH, _NO_FILE)
    )
    expendable = sum(ns.cleanup is not Cleanup.NEVER for ns in policy.namespaces)
    names = f"{len(policy.namespaces)}, of which {expendable} may be cleaned up" if policy.namespaces else "none"
    yield Fact("namespaces", "Namespaces", Cell(say(names), len(policy.namespaces)))
    monitor, levels = policy.monitor, policy.levels
    looks = (
        f"every {format_duration(monitor.interval_s)}, down to {format_duration(monitor.min_interval_s)} while alarmed"
    )
    yield Fact("interval_s", "Looks", Cell(say(looks), monitor.interval_s))
    falls = f"{format_share(levels.release)} below its threshold for {format_duration(levels.hold_s)}"
    yield Fact("release", "A level ends", Cell(say(falls), levels.release))
    cap = f"{monitor.commands_per_day:,}" if monitor.commands_per_day else "no cap"
    yield Fact("commands_per_day", "Commands a day", Cell(say(cap), monitor.commands_per_day))
    mode = monitor.ttl_mode
    told = "the governor adjusts TTLs within their bounds" if mode is TtlMode.AUTO else "TTLs stay as the file has them"
    yield Fact("ttl_mode", "TTL mode", Cell(say(code(mode.value)), mode.value, note=told))
    over = sorted({format_bytes(ns.compress_over_bytes) for ns in policy.namespaces})
    if over:
        yield Fact(
            "compress_over", "Compression", Cell(say(f"by the cache library, of values above {', '.join(over)}"), over)
        )


_NO_FILE = "everything is protected, and rows are prefixes that the census found"


def _around(seen: Gathered) -> Iterator[Fact]:
    yield _governor(seen)
    lease = Cell(say("none"), None, Tone.MUTED, "this version keeps none: run one governor for each server")
    yield Fact("lease", "Lease", lease)
    if isinstance(seen.past, Missing):
        yield Fact("history", "History", Cell(say("not given"), None, Tone.MUTED, seen.past.reason))
    else:
        begins = seen.past.begins_s
        since = f"begins {wording.when(begins)}" if begins else "empty"
        yield Fact("history", "History", Cell(say(code(str(seen.request.history))), since, note=since))
    recording = seen.recording
    if isinstance(recording, Missing):
        yield Fact("recorder", "Recordings of the cache library", wording.unknown(recording.reason))
    else:
        processes = len(recording.processes)
        words = f"of {wording.several(processes, 'process', 'processes')}" if processes else "none"
        yield Fact("recorder", "Recordings of the cache library", Cell(say(words), processes))
    receivers = len(seen.policy.webhooks) + len(seen.policy.alerts.notify)
    words = wording.several(receivers, "receiver") if receivers else "no receiver"
    yield Fact("alerts", "Alerts", Cell(say(words), receivers, Tone.PLAIN if receivers else Tone.MUTED))


def _governor(seen: Gathered) -> Fact:
    """Whether somebody listens for what wakes a governor."""
    if isinstance(seen.examination, Missing):
        return Fact("governor", "Governor", wording.unknown(seen.examination.reason))
    governed = seen.examination.evidence.governed
    if governed is None:
        reason = seen.examination.evidence.reasons.get("governed", "")
        return Fact("governor", "Governor", wording.unknown(reason))
    words, tone, note = _PRESENT if governed else _ABSENT
    return Fact("governor", "Governor", Cell(say(words), governed, tone, note))


_PRESENT = "present", Tone.GOOD, "it listens on this server, or wrote to its history just now"
_ABSENT = "none", Tone.WATCH, "none listens: only spillgate tick may act"
