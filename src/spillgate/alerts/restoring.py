"""What people were told before the governor was restarted, from the log of deliveries. Pure."""

from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType

from spillgate.alerts.conditions import title_of
from spillgate.alerts.delivery import DELIVERED
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
    last = [one for one in recent if now.unix_s - one.at_unix_s < HOUR_S]
    if not last:
        return ()
    busiest = Counter(one.receiver for one in last).most_common(1)[0][0]
    return tuple(sorted(now.monotonic_s - (now.unix_s - one.at_unix_s) for one in last if one.receiver == busiest))
