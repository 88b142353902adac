"""12: what to do when it fills, with the commands of this very deployment."""

from spillgate.config import Cleanup
from spillgate.model import Level
from spillgate.policy.pressure import threshold
from spillgate.report.deployment import PASSWORD_VARIABLE, has_password, redis_cli, unlink_all
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Block, Commands, Paragraph, Points, Section, Tone, Words, code, listed, say, strong
from spillgate.report.sections.shared import Rows
from spillgate.units import format_bytes, format_duration, format_share

_BY_HAND = Paragraph(say(strong("By hand:")))
_SHOWN = 2  # namespaces that stand alone in commands: the first to go


def section(seen: Gathered, rows: Rows | Missing) -> Section:
    """The emergency procedure."""
    blocks: list[Block] = []
    if needs := seen.request.deployment.needs:
        blocks.append(Paragraph(say(f"For these commands {'; '.join(needs)}.")))
    governed = None if isinstance(seen.examination, Missing) else seen.examination.evidence.governed
    if governed is False:
        said = "No governor is present, so nothing happens by itself until one runs: "
        blocks.append(Paragraph(say(said, code(seen.request.deployment.command("run"))), Tone.WATCH))
    if seen.assessment is None:
        blocks.append(Paragraph(say("The memory limit is unknown: add ", code("--limit SIZE"), " to each command.")))
    blocks += [
        *_warning(seen, rows),
        *_preventive(seen),
        *_emergency(seen),
        *_critical(seen),
        *_without_spillgate(seen),
    ]
    return Section("emergency", "Emergency procedure", tuple(blocks))


def _title(seen: Gathered, level: Level) -> str:
    share = threshold(level, seen.policy.levels)
    if seen.assessment is None:
        return f"{level.label.capitalize()}: {format_share(share)} of the limit and more"
    size = format_bytes(share * seen.assessment.limits.limit_bytes)
    return f"{level.label.capitalize()}: {size} and more ({format_share(share)})"


def _by_itself(seen: Gathered, level: Level, words: Words) -> Paragraph:
    return Paragraph((*say(strong("By itself:"), " "), *words), title=_title(seen, level))


def _warning(seen: Gathered, rows: Rows | Missing) -> list[Block]:
    command = seen.request.deployment.command
    heaviest = "" if isinstance(rows, Missing) or not rows.all else f" (now {rows.label(rows.all[0])})"
    return [
        _by_itself(seen, Level.WARNING, say("the governor writes it to the journal with the heaviest namespaces.")),
        _BY_HAND,
        Points(
            "warning",
            (
                say("Read what holds the memory, by namespace."),
                say(f"Find the heaviest{heaviest}: does it grow, or is it a busy hour?"),
                say(
                    "Consider shorter TTLs for a while: ", code("spillgate advise"), " tells what each frees and costs."
                ),
                say("Watch for 10 to 15 minutes."),
            ),
            ordered=True,
        ),
        Commands(
            "warning_commands",
            "\n".join((command("status"), command("census"), command("doctor"), command("advise"), command("top"))),
        ),
    ]


def _preventive(seen: Gathered) -> list[Block]:
    command = seen.request.deployment.command
    said = say("expired keys are dropped, TTLs cut to those of the policy, budgets kept. Nothing else is deleted.")
    lines = (command("cleanup", "--level", "preventive", "--dry-run"), command("cleanup", "--level", "preventive"))
    return [
        _by_itself(seen, Level.PREVENTIVE, said),
        Paragraph(say(strong("By hand"), ", where nobody governs: see what would go, then do it.")),
        Commands("preventive_commands", "\n".join(lines)),
    ]


def _order(seen: Gathered) -> list[str]:
    going = (ns for ns in seen.policy.namespaces if not ns.protected)
    return [ns.name for ns in sorted(going, key=lambda ns: ns.priority or 0)]


def _emergency(seen: Gathered) -> list[Block]:
    names, command = _order(seen), seen.request.deployment.command
    if not names:
        words = say(
            "nothing, for no namespace may be cleaned up. Choose what may go, or a larger plan, before it comes."
        )
        return [_by_itself(seen, Level.EMERGENCY, words)]
    levels = seen.policy.levels
    down = levels.preventive - levels.release
    target = f", {format_bytes(down * seen.assessment.limits.limit_bytes)}" if seen.assessment else ""
    order = listed(code(name) for name in names)
    words = (*say("cleanup in this order: "), *order, *say(f", until data is at {format_share(down)}{target}."))
    lines = [
        *(command("cleanup", name, "--level", "emergency", "--dry-run") for name in names[:_SHOWN]),
        command("cleanup", "--level", "emergency", "--dry-run"),
        command("cleanup", "--level", "emergency"),
        command("status"),
    ]
    return [
        _by_itself(seen, Level.EMERGENCY, words),
        _BY_HAND,
        Points(
            "emergency",
            (
                say("Watch the recovery: it takes seconds. If it has not come within a minute, the journal says why."),
                say("Where nobody governs, see what would go, then do it: it shows, asks, and stops at the target."),
            ),
            ordered=True,
        ),
        Commands("emergency_commands", "\n".join(lines)),
    ]


def _critical(seen: Gathered) -> list[Block]:
    command = seen.request.deployment.command
    ttls = [
        f"{ns.name} to {format_duration(ns.critical_ttl_s)}"
        for ns in seen.policy.namespaces
        if ns.cleanup is Cleanup.SHORTEN and ns.critical_ttl_s is not None
    ]
    shortened = f", TTLs down ({', '.join(ttls)})" if ttls else ""
    words = say(f"the same{shortened}, and the cache library stops writing what has low priority.")
    refuses = seen.reading.eviction_policy == "noeviction"
    then = "refuses writes" if refuses else f"evicts by {seen.reading.eviction_policy or 'its own policy'}"
    return [
        _by_itself(seen, Level.CRITICAL, words),
        _BY_HAND,
        Points(
            "critical",
            (
                say(f"Service may degrade: at its limit this server {then}."),
                say("Let TTLs down to 1 to 2 minutes, and clean up as at critical."),
                say("Stop what floods it, and choose a larger plan. Never ", code("FLUSHALL"), ": it takes all along."),
            ),
            ordered=True,
        ),
        Commands(
            "critical_commands",
            "\n".join(
                (
                    command("cleanup", "--level", "critical", "--dry-run"),
                    command("cleanup", "--level", "critical", "--yes"),
                )
            ),
        ),
    ]


def _without_spillgate(seen: Gathered) -> list[Block]:
    """With redis-cli alone: what may be cleared whole, first to go first."""
    server = seen.policy.server
    lines = [redis_cli(server, "INFO", "memory")]
    clearing = sorted(
        (ns for ns in seen.policy.namespaces if ns.cleanup is Cleanup.CLEAR), key=lambda ns: ns.priority or 0
    )
    lines += [unlink_all(server, ns.keys) for ns in clearing]
    said = "Without Spillgate, with redis-cli alone"
    secret = f" {PASSWORD_VARIABLE} holds the password." if has_password(seen.policy) else ""
    order = (
        "clears what may go whole, first to go first, and stops at no target: look after each line." if clearing else ""
    )
    first = f"The first line tells how much is in use{'; each other ' if clearing else '.'}{order}{secret}"
    return [
        Paragraph(say(first), Tone.WATCH if clearing else Tone.PLAIN, title=said),
        Commands("redis_cli", "\n".join(lines)),
    ]
