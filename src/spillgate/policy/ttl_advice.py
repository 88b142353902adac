"""TTLs for all namespaces together: those whose hits are worth most in the memory there is.

Where reads were recorded, TTLs are chosen along the namespaces' curves (`ttl_choice`). Where only the server could be
asked, a shorter TTL is recommended if a bound shows that next to nothing is lost (`ttl_ages`). All else stays.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spillgate.model import Estimate
from spillgate.policy import ttl_words
from spillgate.policy.findings.numbers import times
from spillgate.policy.ttl import Advice, Basis, Confidence, TtlPlan
from spillgate.policy.ttl_ages import Ages
from spillgate.policy.ttl_choice import Option, choose, envelope, ttls_between
from spillgate.policy.ttl_subject import SHORTEST_S, Measured, Subject
from spillgate.policy.ttl_words import Why

_LEAST_SHARE = 0.95 / 6  # of the TTL that is guessed for a prefix, about the policy's own default
# A change that does less than this is not worth making.
_LEAST_HITS = 0.002
_LEAST_BYTES_SHARE = 0.05
_TRIFLE = 0.001  # of hits, given up where it saves memory
# No lever is what moves neither hits nor memory by so much.
_LEVER_HITS = 0.01
_LEVER_BYTES_SHARE = 0.1
# By the server alone: how much more may be rebuilt at the most, how much must be freed, how many keys must tell.
_MOST_REBUILT = 0.1
_LEAST_FREED = 0.1
_MANY_OLD = 500
# For high and for medium confidence: reads recorded, in how many times the longer TTL, and half of the interval of the
# hits lost; a change that is surely one may be known less exactly.
_MANY_READS, _MUCH_LONGER, _LITTLE_OFF = 10_000, 5, 0.02
_SOME_READS, _LONGER, _SOME_OFF = 1000, 2, 0.05
_SURELY = 0.5  # of the change
_MOST_BUDGET = 2.0


def plan(subjects: Sequence[Subject], target_bytes: int | None) -> TtlPlan:
    """What is recommended where the data of all ``subjects`` together may hold ``target_bytes``.

    Where that is None, they may hold what they do now.
    """
    found = {one.name: one.measured() for one in subjects}
    measured = {name: one for name, one in found.items() if isinstance(one, Measured)}
    whys = {name: one for name, one in found.items() if isinstance(one, str)}
    others = {one.name: _without_curve(one, whys[one.name]) for one in subjects if one.name in whys}
    menus = {name: one.menu() for name, one in measured.items()}
    room = _room(measured, others, target_bytes)
    chosen = _chosen(measured, menus, room)
    why = Why(
        forced=sum(envelope(menu)[-1].bytes for menu in menus.values()) > room, known_target=target_bytes is not None
    )
    advised = {name: _advice(one, menus[name], chosen[name], why) for name, one in measured.items()}
    return _together(subjects, [(others | advised)[one.name] for one in subjects], target_bytes)


def _room(measured: Mapping[str, Measured], others: Mapping[str, Advice], target_bytes: int | None) -> float:
    """The bytes that are there for namespaces with a curve."""
    if target_bytes is None:
        return sum(one.bytes_at(one.ttl_s).value for one in measured.values())
    return target_bytes - sum(one.bytes_then.value for one in others.values() if one.bytes_then)


def _chosen(measured: Mapping[str, Measured], menus: Mapping[str, Sequence[Option]], room: float) -> dict[str, Option]:
    """The options that are worth most together, less what does too little to be worth a change."""
    chosen = dict(zip(menus, choose(list(menus.values()), room), strict=True))
    total = sum(option.bytes for option in chosen.values())
    for name, one in measured.items():
        option = chosen[name]
        best = _worth_it(one, menus[name], option)
        if best.bytes <= option.bytes or total - option.bytes + best.bytes <= room:
            total += best.bytes - option.bytes
            chosen[name] = best
    return chosen


def _worth_it(measured: Measured, menu: Sequence[Option], option: Option) -> Option:
    """The least memory for all but a trifle of the hits; the TTL of now where that does as well."""
    whole = measured.worth_per_s
    now = _now(measured, menu)
    least = option.worth - _TRIFLE * whole
    best = min((one for one in menu if one.worth >= least and one.bytes <= option.bytes), key=lambda one: one.bytes)
    hits, size = abs(best.worth - now.worth), abs(best.bytes - now.bytes)
    return now if hits < _LEAST_HITS * whole and size < _LEAST_BYTES_SHARE * now.bytes else best


def _now(measured: Measured, menu: Sequence[Option]) -> Option:
    return next(one for one in menu if one.ttl_s == measured.ttl_s)


def _advice(measured: Measured, menu: tuple[Option, ...], option: Option, why: Why) -> Advice:
    """What is recommended by the curve."""
    now_s = measured.ttl_s
    lever = _is_lever(measured, menu)
    if not lever:
        option = _now(measured, menu)
        reason = ttl_words.no_lever(measured, menu)
    elif option.ttl_s == now_s:
        reason = ttl_words.kept(measured, menu)
    else:
        reason = ttl_words.changed(measured, option, why)
    return Advice(
        name=measured.name,
        ttl_s=now_s,
        recommended_s=option.ttl_s,
        hit_ratio=measured.at(now_s).hit_ratio,
        hit_ratio_then=measured.at(option.ttl_s).hit_ratio,
        bytes=measured.bytes_at(now_s),
        bytes_then=measured.bytes_at(option.ttl_s),
        freed_bytes=measured.freed(option.ttl_s),
        hits_lost=measured.lost(option.ttl_s),
        basis=Basis.RECORDER,
        confidence=_confidence(measured, option.ttl_s),
        lever=lever,
        reason=reason + ttl_words.remarks(measured),
    )


def _is_lever(measured: Measured, menu: Sequence[Option]) -> bool:
    hits = menu[-1].worth - menu[0].worth
    sizes = [option.bytes for option in menu]
    moved = max(sizes) - min(sizes)
    return hits >= _LEVER_HITS * measured.worth_per_s or moved >= _LEVER_BYTES_SHARE * max(sizes)


def _confidence(measured: Measured, then_s: float) -> Confidence:
    """By how much was seen, how far off the hits lost may be, and whether what was seen is what is there."""
    curve, doubts = measured.curve, ttl_words.doubts(measured)
    kept = then_s == measured.ttl_s
    change = measured.at(then_s).hit_ratio if kept else measured.lost(then_s)
    off = (change.high - change.low) / 2
    longer = curve.recorded_s / max(measured.ttl_s, then_s)
    if curve.reads >= _MANY_READS and longer >= _MUCH_LONGER and off <= _LITTLE_OFF:
        return Confidence.MEDIUM if doubts else Confidence.HIGH
    most_off = _SOME_OFF if kept else max(_SOME_OFF, _SURELY * abs(change.value))
    enough = curve.reads >= _SOME_READS and longer >= _LONGER and off <= most_off
    return Confidence.MEDIUM if enough and not doubts else Confidence.LOW


def _without_curve(subject: Subject, why: str) -> Advice:
    """What is recommended where no reads were recorded, or too few, for too short a time."""
    nothing = _nothing(subject, why)
    if subject.protected and subject.named:
        return replace(nothing, reason=f"protected, and nothing shows that a shorter TTL would lose nothing: {why}")
    if subject.ages is None:
        return nothing
    return _by_ages(subject, subject.ages, nothing, why)


def _nothing(subject: Subject, why: str) -> Advice:
    """Nothing is recommended, and nothing is known but what it holds."""
    return Advice(
        name=subject.name,
        ttl_s=subject.ttl_s,
        recommended_s=None,
        hit_ratio=None,
        hit_ratio_then=None,
        bytes=subject.bytes,
        bytes_then=subject.bytes,
        freed_bytes=None,
        hits_lost=None,
        basis=Basis.NONE,
        confidence=Confidence.NONE,
        lever=False,
        reason=why,
    )


def _by_ages(subject: Subject, ages: Ages, nothing: Advice, why: str) -> Advice:
    """The shortest TTL that the server's own numbers support, where there is one that is worth it."""
    least = max(SHORTEST_S, subject.min_s if subject.min_s is not None else _LEAST_SHARE * ages.ttl_s)
    most = min(ages.ttl_s, subject.ttl_s or math.inf)
    candidates = [ttl_s for ttl_s in ttls_between(least, most) if ttl_s < most]
    known = replace(nothing, ttl_s=subject.ttl_s or ages.ttl_s, basis=Basis.SERVER, confidence=Confidence.LOW)
    if not candidates:
        return replace(nothing, reason=f"{why}; and there is no shorter TTL that its policy allows")
    if ages.renewed:
        return replace(known, reason=ttl_words.renewed(ages))
    for ttl_s in candidates:
        more, freed = ages.rebuilt(ttl_s), ages.freed(ttl_s)
        if more is None or more.high > _MOST_REBUILT or freed is None or freed.value < _LEAST_FREED:
            continue
        many = len(ages.old(ttl_s)) >= _MANY_OLD and not ages.guessed
        size = times(subject.bytes, freed) if subject.bytes else None
        return replace(
            known,
            recommended_s=ttl_s,
            freed_bytes=size,
            bytes_then=_rest(subject.bytes, size),
            confidence=Confidence.MEDIUM if many else Confidence.LOW,
            lever=True,
            reason=ttl_words.bounded(ages, ttl_s, more),
        )
    told = any(ages.later(ttl_s) is not None for ttl_s in candidates)
    return replace(
        known, recommended_s=subject.ttl_s if told else None, reason=ttl_words.unbounded(ages, candidates[-1])
    )


def _rest(whole: Estimate | None, part: Estimate | None) -> Estimate | None:
    if whole is None or part is None:
        return None
    value = max(0.0, whole.value - part.value)
    return Estimate(value, max(0.0, min(value, whole.low - part.high)), max(value, whole.high - part.low))


def _together(subjects: Sequence[Subject], advices: Sequence[Advice], target_bytes: int | None) -> TtlPlan:
    """The sums, and a budget for each namespace that may have one."""
    now, then = _sum([one.bytes for one in advices]), _sum([one.bytes_then for one in advices])
    weights = {one.name: one.curve.reads_per_s * one.cost for one in subjects if one.curve is not None}
    budgeted = {one.name for one in subjects if one.trimmed}
    if target_bytes is not None and then:
        spare = min(_MOST_BUDGET, target_bytes / then)
        advices = [_with_budget(one, spare) if one.name in budgeted else one for one in advices]
    return TtlPlan(
        target_bytes,
        tuple(advices),
        _weighted(weights, {one.name: one.hit_ratio for one in advices}),
        _weighted(weights, {one.name: one.hit_ratio_then for one in advices}),
        now,
        then,
        None if target_bytes is None or then is None else then <= target_bytes,
    )


def _with_budget(advice: Advice, spare: float) -> Advice:
    if advice.bytes_then is None or not advice.bytes_then.value:
        return advice
    return replace(advice, budget_bytes=max(0, round(advice.bytes_then.value * spare)))


def _sum(sizes: Sequence[Estimate | None]) -> float | None:
    return math.fsum(size.value for size in sizes if size is not None) if None not in sizes else None


def _weighted(weights: Mapping[str, float], hits: Mapping[str, Estimate | None]) -> float | None:
    known = [(weights[name], ratio.value) for name, ratio in hits.items() if ratio is not None]
    total = math.fsum(weight for weight, _ in known)
    return math.fsum(weight * ratio for weight, ratio in known) / total if total else None
