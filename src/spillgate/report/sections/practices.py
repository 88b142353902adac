"""10: which practices are kept, and which are broken."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spillgate.model import Estimate
from spillgate.policy.findings import Evidence, Finding, Group, Kind
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Cell, Column, Section, Table, Tone, Words, code, say
from spillgate.report.sections.shared import total, unknown_because
from spillgate.units import format_bytes, format_share


class Verdict(StrEnum):
    """Whether a practice is kept."""

    KEPT = "kept"
    BROKEN = "broken"
    UNKNOWN = "unknown"


_TONES = {Verdict.KEPT: Tone.GOOD, Verdict.BROKEN: Tone.BAD, Verdict.UNKNOWN: Tone.UNKNOWN}
_COLUMNS = (Column("practice", "Practice"), Column("verdict", "Here"), Column("why", "By"))


@dataclass(frozen=True, slots=True)
class Judgement:
    """One practice: whether it is kept, and by what that is known."""

    key: str
    practice: str
    verdict: Verdict
    why: Words


def section(seen: Gathered) -> Section:
    """The practices."""
    title = "Best practices"
    if isinstance(seen.examination, Missing):
        return Section("practices", title, (unknown_because(seen.examination.reason),))
    judged = tuple(judgements(seen))
    counts = {verdict: sum(one.verdict is verdict for one in judged) for verdict in Verdict}
    said = ", ".join(f"{number} {verdict.value}" for verdict, number in counts.items() if number)
    rows = tuple(
        (
            Cell(say(one.practice), one.key),
            Cell(say(one.verdict.value), one.verdict.value, _TONES[one.verdict]),
            Cell(one.why),
        )
        for one in judged
    )
    return Section(
        "practices", title, (Table("practices", _COLUMNS, rows, note=say(f"{said[:1].upper()}{said[1:]}.")),)
    )


def judgements(seen: Gathered) -> Iterator[Judgement]:
    """Each practice in turn, by the findings and the keys of an examination."""
    done = seen.examination
    assert not isinstance(done, Missing)  # noqa: S101 - asked for where there is one
    by = _Judge(seen, done.evidence, done.diagnosis.findings, done.diagnosis.unable)
    yield by.none("namespaced-keys", "Namespaced keys", "unnamespaced-keys")
    yield by.expiry()
    yield by.ttls()
    yield by.none("compression", "Large values compressed", "compressible-values")
    yield by.none("large-values", "No large values", "big-strings", "big-collections")
    yield by.none("files", "No files, uploads or binary data", "files-in-values")
    yield by.none("long-term-storage", "No long-term storage", "long-term-storage")
    yield by.none("histories", "No full message histories", "message-histories")
    yield by.none("queues", "Queue and cache kept apart", "queue-under-eviction")
    yield by.none("headroom", "A little headroom", "rehash-headroom", "fork-headroom")
    yield by.watched()


class _Judge:
    """One server's findings, asked for each practice."""

    def __init__(
        self, seen: Gathered, evidence: Evidence, findings: Sequence[Finding], unable: Mapping[str, str]
    ) -> None:
        self._seen, self._evidence, self._findings, self._unable = seen, evidence, findings, unable

    def none(self, key: str, practice: str, *checks: str) -> Judgement:
        """A practice that is kept where these checks find nothing."""
        if not self._evidence.keys:
            return Judgement(key, practice, Verdict.UNKNOWN, say("there are no keys to look at"))
        found = [finding for finding in self._findings if finding.check in checks]
        if found:
            return Judgement(key, practice, Verdict.BROKEN, self._told(found))
        missing = [(check, self._unable[check]) for check in checks if check in self._unable]
        if missing:
            check, reason = missing[0]
            return Judgement(key, practice, Verdict.UNKNOWN, say(code(check), f" could not run: {reason}"))
        names = [run for check in checks for run in (", ", code(check))][1:]
        return Judgement(key, practice, Verdict.KEPT, say(*names, f" {'find' if len(checks) > 1 else 'finds'} nothing"))

    def _told(self, found: Sequence[Finding]) -> Words:
        held = total(finding.wins for finding in found)
        places = [finding.place for finding in found if finding.place]
        wins = f", {wording.between(held, format_bytes)} to win" if held is not None and held.value else ""
        where = f" in {', '.join(dict.fromkeys(places))}" if places else ""
        checks = list(dict.fromkeys(finding.check for finding in found))
        first = _number_of(found[0])
        return say(code(checks[0]), f"{where}{wins}{first}", *(f"; {check}" for check in checks[1:]))

    def expiry(self) -> Judgement:
        """A TTL on everything, but for queues and what the policy keeps without one."""
        key, practice = "expiry", "A TTL on every entry"
        wanted = [group for group in self._evidence.groups if _should_end(group)]
        if not self._evidence.keys:
            return Judgement(key, practice, Verdict.UNKNOWN, say("there are no keys to look at"))
        without = total(group.usage.no_ttl for group in wanted)
        if without is None:
            return Judgement(key, practice, Verdict.UNKNOWN, say("PTTL is forbidden, for some keys at least"))
        keys = Estimate.total(group.usage.keys for group in wanted)
        rest = sum(
            group.usage.no_ttl.value for group in self._evidence.groups if group not in wanted and group.usage.no_ttl
        )
        apart = f" ({rest:,.0f} of queues, and of namespaces kept without, apart)" if rest else ""
        if without.value < 1:
            number = f"{keys.value:,.0f}"
            sure = "" if without.is_exact else ", as far as a sample tells"
            return Judgement(key, practice, Verdict.KEPT, say(f"none of {number} keys lacks one{sure}{apart}"))
        share = format_share(without.value / max(1.0, keys.value))
        words = wording.between(without, lambda number: f"{number:,.0f}")
        return Judgement(key, practice, Verdict.BROKEN, say(f"{words} keys, {share}, have none{apart}"))

    def ttls(self) -> Judgement:
        """TTLs that fit: by the advisor where it knows, and by the doctor."""
        key, practice = "ttls", "A TTL fit for each type"
        found = [finding for finding in self._findings if finding.check == "ttl-outlives-use"]
        plan = self._seen.plan
        advices = () if isinstance(plan, Missing) else plan.advices
        better = [one for one in advices if one.recommended_s is not None and one.recommended_s != one.ttl_s]
        if better:
            names = [run for one in better for run in (", ", code(one.name))][1:]
            return Judgement(key, practice, Verdict.BROKEN, say("another TTL is recommended for ", *names))
        if found:
            return Judgement(key, practice, Verdict.BROKEN, self._told(found))
        told = [one for one in advices if one.recommended_s is not None]
        if told:
            words = f"of {wording.several(len(told), 'namespace')} enough is known, and none needs another"
            return Judgement(key, practice, Verdict.KEPT, say(words))
        unable = self._unable.get("ttl-outlives-use")
        if unable is not None:
            return Judgement(key, practice, Verdict.UNKNOWN, say(unable))
        words = say(
            "none is far too long (", code("ttl-outlives-use"), "), but too little is known of reads to tell more"
        )
        return Judgement(key, practice, Verdict.UNKNOWN, words)

    def watched(self) -> Judgement:
        """Whether anybody would hear of it: a governor that runs, and receivers of its alerts."""
        key, practice = "watched", "The endpoint watched"
        governed, policy = self._evidence.governed, self._seen.policy
        if governed is None:
            return Judgement(key, practice, Verdict.UNKNOWN, say(self._evidence.reasons.get("governed", "")))
        if not governed:
            return Judgement(key, practice, Verdict.BROKEN, say("no governor runs, so that there is none to watch"))
        receivers = len(policy.webhooks) + len(policy.alerts.notify)
        if receivers:
            words = f"a governor runs, and alerts go to {wording.several(receivers, 'receiver')}"
            return Judgement(key, practice, Verdict.KEPT, say(words))
        words = say(
            "a governor runs, but its alerts have no receiver; whether anybody asks ",
            code("/health/redis-memory"),
            " no server can tell",
        )
        return Judgement(key, practice, Verdict.UNKNOWN, words)


def _should_end(group: Group) -> bool:
    if group.kind is Kind.QUEUE:
        return False
    return group.kind is not Kind.KEPT or (group.namespace is not None and group.namespace.ttl_s is not None)


def _number_of(finding: Finding) -> str:
    """The number of keys that it is about, where it has one."""
    keys = finding.numbers.get("keys") or finding.numbers.get("met") or finding.numbers.get("files")
    if isinstance(keys, Estimate):
        return f", {wording.between(keys, lambda number: f'{number:,.0f}')} keys"
    return f", {keys:,.0f} met" if isinstance(keys, int | float) else ""
