"""The receivers that a policy names."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from spillgate.alerts.delivery import Receiver
from spillgate.alerts.through_apprise import Service
from spillgate.alerts.webhook import Webhook
from spillgate.alerts.words import Sender
from spillgate.config import Policy, Secret, WebhookSettings
from spillgate.errors import ConfigError
from spillgate.governor.clock import Clock
from spillgate.model import Level


class Named(NamedTuple):
    """A receiver as the policy names it: what may be shown of it, and where it is. ``webhook`` is None for apprise."""

    name: str
    kind: str
    url: Secret
    min_level: Level
    webhook: WebhookSettings | None = None


def named(policy: Policy) -> Iterator[Named]:
    """Webhooks first, then what goes through apprise: named after its kind, with a number where there are several."""
    taken: Counter[str] = Counter()
    for one in policy.webhooks:
        taken[one.name] += 1
        yield Named(one.name, "webhook", one.url, one.min_level, one)
    for url in policy.alerts.notify:
        kind = "apprise" if url.value is None else url.value.partition("://")[0].lower()
        taken[kind] += 1
        yield Named(kind if taken[kind] == 1 else f"{kind}-{taken[kind]}", kind, url, Level.WARNING)


def receivers_of(policy: Policy, clock: Clock) -> tuple[Receiver, ...]:
    """All of them, ready to send.

    Raises:
        ConfigError: an address or a secret stands in a variable that is not set, or apprise does not take it.
        MissingExtra: apprise is wanted and not installed.
    """
    sender = Sender.of(policy)
    return tuple(_receiver(one, sender, clock) for one in named(policy))


def _receiver(one: Named, sender: Sender, clock: Clock) -> Receiver:
    try:
        if one.webhook is not None:
            return Webhook.of(one.webhook, sender, clock)
        return Service.of(one.url, one.name, one.kind, sender)
    except ConfigError as error:
        key = "alerts.notify" if one.webhook is None else f'webhook "{one.name}"'
        raise ConfigError(str(error), key=key) from error
