"""What a server holds and allows beside its data."""

from collections.abc import Iterator

from spillgate.model import Estimate
from spillgate.policy.findings import fixes
from spillgate.policy.findings.evidence import Evidence
from spillgate.policy.findings.finding import Finding, Severity
from spillgate.units import format_bytes, format_share

# Fragmentation matters from so much of what is in use on, and never below what any process takes for itself.
_FRAGMENTED_RATIO = 1.4
_FRAGMENTED_SHARE = 0.25
_PROCESS_BYTES = 16 * 1024**2
_BUFFERS_SHARE = 0.05
# What the buffers of an idle connection take.
_USUAL_CLIENT_BYTES = 24 * 1024
_CONNECTIONS_SHARE, _CONNECTIONS_NEAR = 0.7, 0.9
_IDLE_SHARE = 0.5
_SCRIPTS_SHARE = 0.02
_MANY_SCRIPTS = 100
_IDLE_TIMEOUT_S = 300


def fragmentation(evidence: Evidence) -> Iterator[Finding]:
    """Memory that the allocator holds beyond what is used, where it is much."""
    allocator = evidence.word("mem_allocator")
    used = evidence.survey.used_bytes
    # Allocators that tell of themselves are believed; of others only the whole process is known.
    told = allocator.startswith("jemalloc")
    ratio = evidence.number("allocator_frag_ratio" if told else "mem_fragmentation_ratio")
    waste = evidence.number("allocator_frag_bytes" if told else "mem_fragmentation_bytes")
    if ratio < _FRAGMENTED_RATIO or waste < max(_PROCESS_BYTES, _FRAGMENTED_SHARE * used) or used < _PROCESS_BYTES:
        return
    yield Finding(
        Severity.MEDIUM if waste < used else Severity.HIGH,
        f"The process holds {format_bytes(waste)} more than it uses (ratio {ratio:.2f}, {allocator}). That counts "
        "towards the machine's memory, not towards maxmemory.",
        fixes.config_set("activedefrag", "yes") if told else _restart(evidence),
        numbers={"ratio": ratio, "bytes": waste},
    )


def _restart(evidence: Evidence) -> str:
    """How to start the server anew without losing what is in it."""
    save = (evidence.settings or {}).get("save")
    if evidence.survey.info.get("aof_enabled") == "1" or save:
        saved = "a restart (SHUTDOWN SAVE, and look that it loads what was saved)"
    else:
        nothing = "nothing is saved on this server" if save is not None else "whether anything is saved is unknown"
        saved = f"a restart only where all data may be lost: {nothing}"
    return f"let a replica take over, or {saved}"


def buffers(evidence: Evidence) -> Iterator[Finding]:
    """Memory in the buffers of clients: deleting keys does not free it."""
    held = evidence.number("mem_clients_normal")
    number = evidence.number("connected_clients")
    wins = held - number * _USUAL_CLIENT_BYTES
    if held < _BUFFERS_SHARE * evidence.survey.used_bytes or wins < _BUFFERS_SHARE * evidence.survey.used_bytes:
        return
    worst = evidence.clients.worst if evidence.clients and evidence.clients.worst_bytes else ""
    limit = evidence.limit_bytes or evidence.survey.used_bytes
    biggest = max((key.size_bytes or 0 for _, census in evidence.censuses for key in census.biggest), default=0)
    each = max(1024**2, fixes.round_down(int(limit * _BUFFERS_SHARE)), 4 * fixes.round_down(biggest))
    yield Finding(
        max(Severity.MEDIUM, evidence.graded(Estimate.exact(wins))),
        f"The buffers of {number:,.0f} clients hold {format_bytes(held)}, "
        f"{format_share(held / evidence.survey.used_bytes)} of the memory in use: replies that are not read, or very "
        "large commands." + (f" The largest: {worst}." if worst else ""),
        fixes.config_set("client-output-buffer-limit", f"normal {each} {each // 2} 30")
        + ", which disconnects a client as soon as so much waits for it: more than the longest reply that anybody asks "
        "for at once. Read large replies in pages, and close what does not read",
        wins=Estimate.exact(wins),
        numbers={"bytes": held, "clients": number},
    )


def connections(evidence: Evidence) -> Iterator[Finding]:
    """More connections than the plan is made for."""
    most = evidence.number("maxclients")
    number, refused = evidence.number("connected_clients"), evidence.number("rejected_connections")
    if not refused and number < _CONNECTIONS_SHARE * most:
        return
    clients = evidence.clients
    idle = clients is not None and clients.idle >= _IDLE_SHARE * clients.number
    yield Finding(
        Severity.HIGH if number >= _CONNECTIONS_NEAR * most else Severity.MEDIUM,
        f"{number:,.0f} of {most:,.0f} connections are open, and {refused:,.0f} were refused since the server started."
        + (f" {clients.idle:,} have been idle for an hour." if clients and idle else ""),
        fixes.config_set("timeout", _IDLE_TIMEOUT_S) + ", which closes idle ones, and smaller pools"
        if idle
        else "smaller connection pools, shared by the threads of a process",
        numbers={"connections": number, "most": most, "refused": refused},
    )


def scripts(evidence: Evidence) -> Iterator[Finding]:
    """Memory in cached scripts and functions."""
    held = evidence.number("used_memory_scripts")
    number = evidence.number("number_of_cached_scripts")
    functions = float(evidence.survey.info.get("used_memory_functions", "0"))
    if held < _SCRIPTS_SHARE * evidence.survey.used_bytes or number + functions < _MANY_SCRIPTS:
        return
    cached = held - functions
    fix = (
        "SCRIPT FLUSH, after which each EVALSHA gets NOSCRIPT once, so callers must load scripts again; and scripts "
        "that take what differs as ARGV instead of having it in their text"
    )
    if functions > cached:
        fix = "FUNCTION LIST, and FUNCTION DELETE <library> for those that are not called"
    yield Finding(
        evidence.graded(Estimate.exact(held)),
        f"{number:,.0f} cached scripts and the functions hold {format_bytes(held)}, "
        f"{format_share(held / evidence.survey.used_bytes)} of the memory in use.",
        fix,
        wins=Estimate.exact(held),
        numbers={"bytes": held, "cached_scripts": number, "functions_bytes": functions},
    )


def databases(evidence: Evidence) -> Iterator[Finding]:
    """Keys in several logical databases."""
    used = {name: line for name, line in evidence.survey.info.items() if name[:2] == "db" and name[2:].isdecimal()}
    if len(used) <= 1:
        return
    counts = {name: int(dict(part.split("=") for part in line.split(","))["keys"]) for name, line in used.items()}
    told = ", ".join(f"{name} {number:,}" for name, number in counts.items())
    yield Finding(
        Severity.LOW,
        f"{len(used)} logical databases have keys ({told}). They share the limit, the eviction policy and the one "
        f"thread; a governor cleans one of them, here db{evidence.own}.",
        "one database with prefixes (MOVE <key> <db> moves a key), or a server for each use",
        numbers=dict(counts.items()),
    )


def open_default_user(evidence: Evidence) -> Iterator[Finding]:
    """A default user whom no password protects."""
    if not evidence.need(evidence.default_user_open, "default_user_open"):
        return
    settings = evidence.settings or {}
    bound = settings.get("bind", "").replace("-", "").split()
    local = bool(bound) and all(one in {"127.0.0.1", "::1"} for one in bound)
    guarded = settings.get("protected-mode") == "yes"
    yield Finding(
        Severity.LOW if local or guarded else Severity.HIGH,
        "Anybody who reaches the port may do anything: the default user has no password."
        + (
            " It listens on this machine only."
            if local
            else " Protected mode keeps other machines out."
            if guarded
            else ""
        ),
        "ACL SETUSER default resetpass >NEW-PASSWORD (with CONFIG REWRITE or ACL SAVE to keep it), or requirepass in "
        "the server's configuration",
        numbers={"local": str(local).lower(), "protected_mode": settings.get("protected-mode", "unknown")},
    )
