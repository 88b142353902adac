"""Gathering what a diagnosis needs beyond a survey: settings, clients, growth, some values and lengths."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit

from spillgate.census.inside import Inside
from spillgate.config import Policy
from spillgate.errors import BudgetExhausted
from spillgate.keyspace import WAKE_CHANNEL
from spillgate.model import Estimate, KeySample, Reading, Survey
from spillgate.policy.findings import USUAL_KEYS, Clients, Evidence
from spillgate.server.facts import Facts
from spillgate.server.gateway import Gateway

# No setting that holds a secret is ever asked for.
_SETTINGS = (
    "active-expire-effort",
    "bind",
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "hash-max-ziplist-entries",
    "hash-max-ziplist-value",
    "protected-mode",
    "save",
    "set-max-listpack-entries",
    "set-max-listpack-value",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
    "zset-max-ziplist-entries",
    "zset-max-ziplist-value",
)
_Told = TypeVar("_Told")

_MOST_CLIENTS = 2000
_IDLE_CLIENT_S = 3600
_LOOKS = 6
_T95 = 2.78  # Student's t for a line through six looks: four degrees of freedom


@dataclass(frozen=True, slots=True)
class Closeness:
    """How closely to look: whether at ``values``, and for how long memory is watched (0: not at all).

    With ``masked`` no key is named. ``wait`` passes the time while memory is watched.
    """

    values: bool = True
    growth_s: float = 2.0
    masked: bool = False
    wait: Callable[[float], None] = time.sleep


def gather(gateway: Gateway, policy: Policy, survey: Survey, closeness: Closeness | None = None) -> Evidence:
    """The evidence that comes to a ``survey`` of the probed ``gateway``'s server; nothing is changed.

    What the day's commands are not enough for is unknown.

    Raises:
        ServerError: the server failed.
    """
    close = closeness or Closeness()
    facts, reasons = gateway.facts, dict(_REASONS)

    def afford(ask: Callable[[], _Told], *fields: str) -> _Told | None:
        try:
            return ask()
        except BudgetExhausted:
            reasons.update(dict.fromkeys(fields, "the day's commands are spent"))
            return None

    listeners = afford(lambda: facts.subscribers(WAKE_CHANNEL), "governed")
    first = Evidence(
        policy,
        survey,
        settings=afford(lambda: facts.settings(_SETTINGS), "settings"),
        clients=afford(lambda: _clients(facts, survey), "clients"),
        known=afford(lambda: _usual(facts), "known") or (),
        default_user_open=afford(lambda: _open(facts, policy, gateway.capabilities.user), "default_user_open"),
        governed=None if listeners is None else listeners > 0,
        reasons=reasons,
        masked=close.masked,
    )
    inside = Inside(gateway)
    looked = close.values and afford(lambda: inside.look(first) or True, "values", "elements") is not None
    if not close.values:
        reasons |= dict.fromkeys(("values", "elements"), "values and lengths were left alone: --no-values")
    growth = afford(lambda: _watch(gateway, close), "growth_bytes_s")
    if looked and close.growth_s:
        afford(inside.look_again)
    return replace(
        first,
        growth_bytes_s=growth,
        values=inside.values if looked and inside.may_read else None,
        elements=inside.elements if looked and inside.may_count else None,
    )


_REASONS: Mapping[str, str] = {
    "settings": "CONFIG GET is forbidden to this user or plan",
    "values": "reading values is forbidden to this user",
    "elements": "counting elements is forbidden to this user",
    "growth_bytes_s": "memory was not watched: --growth 0s",
    "default_user_open": "ACL GETUSER is forbidden, and this user logged in with a password",
    "governed": "PUBSUB NUMSUB is forbidden, so whether a governor runs is unknown",
}


def _usual(facts: Facts) -> tuple[KeySample, ...]:
    types = zip(USUAL_KEYS, facts.types(USUAL_KEYS), strict=True)
    return tuple(KeySample(None, None, None, name, kind) for name, kind in types if kind is not None)


def _open(facts: Facts, policy: Policy, user: str | None) -> bool | None:
    """What the server says, else what the login shows: whoever gave no password needed none."""
    said = facts.default_user_open()
    url = urlsplit(policy.server.url)
    if said is None and user in {None, "default"} and url.password is None and "password=" not in url.query:
        return True
    return said


def _clients(facts: Facts, survey: Survey) -> Clients | None:
    if int(survey.info.get("connected_clients", "0")) > _MOST_CLIENTS:
        return None
    listed = facts.clients()
    if not listed:
        return None
    held = {client["id"]: int(client.get("omem", "0")) for client in listed if "id" in client}
    worst = max(listed, key=lambda client: held.get(client.get("id", ""), 0))
    name = f" ({worst['name']})" if worst.get("name") else ""
    return Clients(
        len(listed),
        sum(int(client.get("idle", "0")) >= _IDLE_CLIENT_S for client in listed),
        sum(held.values()),
        f"client {worst.get('id')}{name}, last command {worst.get('cmd', 'unknown')}",
        held.get(worst.get("id", ""), 0),
    )


def _watch(gateway: Gateway, close: Closeness) -> Estimate | None:
    """How memory grows, in bytes a second: the line through some looks."""
    if not close.growth_s:
        return None
    looks = [gateway.read_memory()]
    for _ in range(_LOOKS - 1):
        close.wait(close.growth_s / (_LOOKS - 1))
        looks.append(gateway.read_memory())
    return slope(looks)


def slope(looks: Sequence[Reading]) -> Estimate | None:
    """The slope of the line through some readings, with its interval (least squares); None where no time passed."""
    middle_s = math.fsum(look.at_s for look in looks) / len(looks)
    middle = math.fsum(look.used_bytes for look in looks) / len(looks)
    spread = math.fsum((look.at_s - middle_s) ** 2 for look in looks)
    if not spread:
        return None
    value = math.fsum((look.at_s - middle_s) * (look.used_bytes - middle) for look in looks) / spread
    off = math.fsum((look.used_bytes - middle - value * (look.at_s - middle_s)) ** 2 for look in looks)
    half = _T95 * math.sqrt(off / (len(looks) - 2) / spread)
    return Estimate(value, value - half, value + half)
