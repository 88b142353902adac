"""What people read of recommended TTLs, on a terminal or in a pipe."""

import math

from rich.table import Table
from rich.text import Text

from spillgate.census.rows import shown
from spillgate.cli.output import show
from spillgate.cli.screens import columns
from spillgate.drawing import with_error
from spillgate.model import Estimate
from spillgate.policy.ttl import Advice, Basis, Confidence, TtlPlan
from spillgate.units import format_bytes, format_duration, format_share

_STYLES = {Confidence.HIGH: "green", Confidence.MEDIUM: "yellow", Confidence.LOW: "dim", Confidence.NONE: "dim"}
_LABEL = 10


def tell(done: TtlPlan, target: int | None, *, is_asked_for: bool) -> None:
    """The whole screen; ``is_asked_for`` says that the file is to be changed by it."""
    show(Text("\n".join(f"{name:<{_LABEL}}{line}" for name, line in _overview(done, target).items())), "")
    if done.advices:
        show(_table(done))
        show("")
    for advice in done.advices:
        show(Text.assemble((f"{shown(advice.name)}: ", "bold"), shown(advice.reason)))
    for note in done.notes:
        show("", f"note: {shown(note)}")
    if not is_asked_for and any(_is_change(advice) for advice in done.advices):
        show("", "spillgate advise --write --config FILE changes these ttl lines, where confidence is medium or high")


def _overview(done: TtlPlan, target: int | None) -> dict[str, str]:
    lines = {
        "memory": f"{_or_unknown(done.bytes)} in these keys on average, {_or_unknown(done.bytes_then)} as recommended"
    }
    if done.target_bytes is None:
        lines["target"] = "unknown, as no limit is: no more than now is used (--target or --limit says what may be)"
    else:
        within = f" of {format_bytes(target)} in all" if target is not None else ""
        fits = {True: "fits", False: "does not fit: see capacity, or lower min_ttl", None: "whether it fits is unknown"}
        lines["target"] = f"{format_bytes(done.target_bytes)} for these keys{within}: {fits[done.fits]}"
    if done.hit_ratio is not None and done.hit_ratio_then is not None:
        lines["hits"] = (
            f"{format_share(done.hit_ratio)} now, {format_share(done.hit_ratio_then)} as recommended, weighted by "
            "reads and what rebuilding a value costs"
        )
    return lines


def _table(done: TtlPlan) -> Table:
    table = columns("namespace", "TTL now*", "recommended*", "frees*", "hits lost*", "confidence", "from")
    for advice in done.advices:
        recommended = _ttl(advice.recommended_s, "-")
        table.add_row(
            Text(shown(advice.name)),
            _ttl(advice.ttl_s, "unknown"),
            Text(recommended, "bold") if _is_change(advice) else recommended,
            _freed(advice),
            _lost(advice),
            Text(advice.confidence.value, _STYLES[advice.confidence]),
            "ages, a bound" if advice.basis is Basis.SERVER else advice.basis.value,
        )
    return table


def _is_change(advice: Advice) -> bool:
    return advice.recommended_s is not None and advice.recommended_s != advice.ttl_s


def _ttl(ttl_s: float | None, otherwise: str) -> str:
    return otherwise if ttl_s is None else format_duration(ttl_s)


def _freed(advice: Advice) -> str:
    if not _is_change(advice):
        return "-"
    return with_error(advice.freed_bytes, format_bytes)


def _lost(advice: Advice) -> str:
    if not _is_change(advice):
        return "-"
    return _ends(advice.hits_lost)


def _ends(lost: Estimate | None) -> str:
    """Points of the hit ratio, with a sign where they are won."""
    if lost is None or not math.isfinite(lost.value):
        return "unknown"
    return with_error(lost, format_share)


def _or_unknown(size: float | None) -> str:
    return "an unknown amount" if size is None else format_bytes(size)
