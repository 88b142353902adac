"""The reasons of the TTL advisor, in plain words."""

from dataclasses import dataclass

from spillgate.model import Estimate
from spillgate.policy.ttl_ages import Ages
from spillgate.policy.ttl_choice import Option
from spillgate.policy.ttl_subject import Measured
from spillgate.units import format_bytes, format_duration, format_share

_MOSTLY = 0.5
_SHORT_OF = 0.05
_NOTHING = 0.0005


@dataclass(frozen=True, slots=True)
class Why:
    """What decides between hits and memory: whether memory is short, and whether that is known."""

    forced: bool
    known_target: bool


def points(part: float) -> str:
    """A share of reads as points of the hit ratio."""
    return f"{format_share(abs(part)).removesuffix('%')} points"


def no_lever(measured: Measured, menu: tuple[Option, ...]) -> str:
    """Why another TTL changes nothing worth it."""
    shortest, longest = menu[0].ttl_s, menu[-1].ttl_s
    curve = measured.curve
    if shortest == longest:
        return f"no other TTL is allowed or was recorded for long enough{_bounds(measured)}"
    hits = measured.at(longest).hit_ratio.value - measured.at(shortest).hit_ratio.value
    sizes = measured.bytes_at(shortest).value, measured.bytes_at(longest).value
    text = (
        f"TTL is no lever here: from {format_duration(shortest)} to {format_duration(longest)} hits change by "
        f"{points(hits)} and memory from {format_bytes(sizes[0])} to {format_bytes(sizes[1])}"
    )
    if curve.updated >= _MOSTLY:
        text += f"; {format_share(curve.updated)} of its writes renew a value before its TTL is over"
    if curve.first >= _MOSTLY:
        text += f"; {format_share(curve.first)} of its reads are the first of their key, which no TTL makes hits"
    return text


def kept(measured: Measured, menu: tuple[Option, ...]) -> str:
    """Why the TTL of now is right: what the next ones would do."""
    place = next(number for number, option in enumerate(menu) if option.ttl_s == measured.ttl_s)
    told: list[str] = []
    if place:
        shorter = menu[place - 1].ttl_s
        lost, freed = measured.lost(shorter).value, measured.freed(shorter).value
        told.append(
            f"{format_duration(shorter)} would lose {points(lost)} of hits and free {format_bytes(max(0.0, freed))}"
        )
    if place + 1 < len(menu):
        longer = menu[place + 1].ttl_s
        won, more = -measured.lost(longer).value, -measured.freed(longer).value
        told.append(f"{format_duration(longer)} would win {points(won)} and take {format_bytes(max(0.0, more))} more")
    return f"right as it is: {'; '.join(told)}" if told else "right as it is: there is no other to compare with"


def changed(measured: Measured, option: Option, why: Why) -> str:
    """What the recommended TTL does."""
    lost, freed = measured.lost(option.ttl_s).value, measured.freed(option.ttl_s).value
    ttl = format_duration(option.ttl_s)
    hits = format_share(measured.at(option.ttl_s).hit_ratio.value)
    if lost < 0 or freed < 0:
        room = "which the target has room for" if why.known_target else "which shorter TTLs elsewhere make room for"
        return f"{ttl} wins {points(lost)} of hits, to {hits}, for {format_bytes(max(0.0, -freed))} more, {room}"
    size = format_bytes(max(0.0, freed))
    if lost <= _NOTHING and measured.curve.first >= _MOSTLY:
        first = format_share(measured.curve.first)
        return f"no TTL makes hits of the {first} of its reads that are the first of their key: {ttl} frees {size}"
    if lost <= _NOTHING:
        return f"nearly all of its reads come within {ttl} of writing: the rest of its TTL holds {size} for no hits"
    worth = "the target leaves no room for more" if why.forced else "that is more than those hits are worth"
    return f"{ttl} still hits {hits} of its reads, {points(lost)} less than now, and frees {size}: {worth}"


def remarks(measured: Measured) -> str:
    """What else there is to know before it is believed."""
    curve = measured.curve
    unknown = measured.at(measured.ttl_s).unknown
    told = doubts(measured)
    if unknown >= _SHORT_OF:
        told.append(
            f"recorded for {format_duration(curve.recorded_s)} only, so that {format_share(unknown)} of its reads "
            "cannot be told yet"
        )
    if measured.subject.protected:
        told.append("protected, so shorter only where nothing is lost")
    if measured.is_beyond:
        told.append(f"no TTL above {format_duration(curve.longest_s)} is looked into")
    return "".join(f"; {one}" for one in told)


def doubts(measured: Measured) -> list[str]:
    """Where what was recorded is not what is there."""
    curve = measured.curve
    now = measured.at(measured.ttl_s)
    told: list[str] = []
    if curve.hit_ratio < now.hit_ratio.low - _SHORT_OF:
        told.append(
            f"in fact {format_share(curve.hit_ratio)} of its reads were hits: values go before their TTL is over "
            "(evicted, cleaned up or shed), which no TTL mends"
        )
    if measured.others_bytes:
        told.append(
            f"the census finds {format_bytes(measured.others_bytes)} more than there was on average while it was "
            "recorded: traffic has risen, or something else writes such keys too"
        )
    return told


def bounded(ages: Ages, ttl_s: float, more: Estimate) -> str:
    """What a shorter TTL does by the server's own numbers."""
    late = ages.later(ttl_s)
    share = format_share(late.high) if late else "few"
    return (
        f"by idle times of {len(ages.keys):,} keys at most {share} are read later than {format_duration(ttl_s)} after "
        f"writing, so at most {format_share(more.high)} more would be rebuilt: a bound, no count of hits{_guess(ages)}"
    )


def unbounded(ages: Ages, shortest_s: float) -> str:
    """Why the server's own numbers support no shorter TTL."""
    old = len(ages.old(shortest_s))
    late = ages.later(shortest_s)
    if late is None or old < 1:
        return f"no key is old enough to tell whether a shorter TTL would do{_guess(ages)}"
    ends = f"between {format_share(late.low)} and {format_share(late.high)} of its keys ({old:,} looked at)"
    return (
        f"{ends} are read later than {format_duration(shortest_s)} after writing, too many for a shorter TTL; whether "
        f"a longer one wins hits the server cannot tell{_guess(ages)}"
    )


def renewed(ages: Ages) -> str:
    """That the server cannot tell."""
    return (
        f"next to none of {len(ages.keys):,} keys was used after its TTL was set: either nobody reads them, or each "
        f"read renews their TTL, and the server cannot tell which{_guess(ages)}"
    )


def _guess(ages: Ages) -> str:
    if not ages.guessed:
        return ""
    return f" (keys seem to be written with a TTL of {format_duration(ages.ttl_s)}, by what they have left)"


def _bounds(measured: Measured) -> str:
    least, most = measured.bounds
    return f" (min_ttl {format_duration(least)}, max_ttl {format_duration(most)})" if most < float("inf") else ""
