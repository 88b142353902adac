"""What people were told before the governor was restarted, from the log of deliveries. Pure."""

from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType

from spillgate.alerts.conditions import title_of
from spillgate.alerts.delivery import DELIVERED, DROPPED, FAILED
from spillgate.alerts.engine import DIGEST_KEY, HOUR_S, Memory, Tracked
from spillgate.alerts.notice import Condition, Kind, Moment
from spillgate.governor.history import Delivery
from spillgate.model import Level

_OLDEST_S = 7 * 86_400.0


def restored(deliveries: Iterable[Delivery], now: Moment) -> Memory:
    """The memory of an engine that goes on where another was stopped; ``deliveries`` stand newest first.

    How bad something was is not in the log. So what is grave is told again, the rest not before its reminder is due,
    and what is no longer the case is told to be over. What was not delivered was not told.
    """
    recent = [
        one
        for one in deliveries
        if one.status == DELIVERED and one.kind != Kind.TEST and 0 <= now.unix_s - one.at_unix_s <= _OLDEST_S
    ]
    tracked: dict[str, Tracked] = {}
    over = {DIGEST_KEY}
    for one in recent:
        if one.key in over:
            continue
        if one.kind == Kind.RECOVERED:
            over.add(one.key)
            continue
        tracked[one.key] = _earlier(tracked.get(one.key), one, now)
    return Memory(tracked=MappingProxyType(tracked), sent_s=_sent(recent, now))


def unheard(deliveries: Iterable[Delivery], now: Moment) -> dict[str, dict[str, bool]]:
    """By receiver and key, what was told last and did not arrive; of each, whether an earlier word of it did."""
    found: dict[str, dict[str, bool]] = {}
    settled: set[tuple[str, str]] = set()
    for one in deliveries:
        where = one.receiver, one.key
        if where in settled or one.key == DIGEST_KEY or not 0 <= now.unix_s - one.at_unix_s <= _OLDEST_S:
            continue
        told = one.kind in {Kind.FIRING, Kind.REMINDER}
        owed = found.setdefault(one.receiver, {})
        if told and one.status in {FAILED, DROPPED}:
            owed.setdefault(one.key, False)
            continue
        settled.add(where)
        if told and one.key in owed:
            owed[one.key] = True
    return found


def _earlier(later: Tracked | None, one: Delivery, now: Moment) -> Tracked:
    """What is told of a key by one more delivery, which was before those looked at so far."""
    ago_s = now.unix_s - one.at_unix_s
    at = Moment(now.monotonic_s - ago_s, one.at_unix_s)
    reminders = int(one.kind == Kind.REMINDER)
    return Tracked(
        condition=Condition(one.key, Level.WARNING, title_of(one.key), ""),
        since=at,
        peak=Level.CRITICAL,  # so that the end of it reaches whoever knew of it
        active=True,
        kept=True,
        told=Level.WARNING,
        told_peak=Level.WARNING,
        told_s=later.told_s if later else at.monotonic_s,
        reminders=reminders + (later.reminders if later else 0),
        gone_s=now.monotonic_s,
    )


def _sent(recent: list[Delivery], now: Moment) -> tuple[float, ...]:
    """When notices were sent within the last hour: those of the receiver that got most."""
    digests = {(one.receiver, one.at_unix_s) for one in recent if one.kind == Kind.DIGEST}
    last = [
        one
        for one in recent
        if now.unix_s - one.at_unix_s < HOUR_S
        and (one.kind == Kind.DIGEST or (one.receiver, one.at_unix_s) not in digests)  # its items came with it
    ]
    if not last:
        return ()
    busiest = Counter(one.receiver for one in last).most_common(1)[0][0]
    return tuple(sorted(now.monotonic_s - (now.unix_s - one.at_unix_s) for one in last if one.receiver == busiest))
