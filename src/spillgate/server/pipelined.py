"""Sweep and sample where scripts are forbidden: the same job by SCAN and pipelines, slower.

Between the look at a key and what is done to it somebody may write it again. That can only cost a fresh value of a
namespace whose values may be deleted anyway: what is to be touched only if it is dead (a rule with an idle cut-off for
keys without a TTL) is left alone here, and keys that no rule names are never named.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spillgate.model import KeySample, Rule, Unlink
from spillgate.server.scanning import CallBounds, RuleCount, SampleReply, Scanner, SweepReply

if TYPE_CHECKING:
    from spillgate.server.driver import Command

_PAGE = 200


class Pipelined(Scanner):
    """Sweeps and samples of one page of SCAN each."""

    def sweep(self, cursor: int, rules: Mapping[str, Rule], bounds: CallBounds, *, dry_run: bool) -> SweepReply:
        """One page, looked at and acted upon."""
        before = self._parse(self._driver.call("INFO"))
        next_cursor, keys = self._page(cursor, bounds)
        rules = {name: Rule(name) if _only_the_dead(rule) else rule for name, rule in rules.items()}
        owned = ((key, self._table.namespace_of(key)) for key in keys)
        named = [(key, rules[name]) for key, name in owned if name is not None and name in rules]
        counts, victims, times = self._decide(named)
        counts = {name: RuleCount() for name in rules} | counts
        estimated = 0
        if dry_run:
            estimated = sum(key.size_bytes or 0 for key in self._look(victims))
        else:
            retimed: list[Command] = [("PEXPIRE", key, ttl_ms) for key, ttl_ms in times]
            self._driver.pipeline([*(("UNLINK", key) for key in victims), *retimed])
        after = self._parse(self._driver.call("INFO"))
        freed = estimated if dry_run else max(0, before.used_bytes - after.used_bytes)
        expired = max(0, (after.expired_keys or 0) - (before.expired_keys or 0))
        return SweepReply(next_cursor, len(keys), expired, freed, before.used_bytes, after, counts)

    def sample(self, cursor: int, bounds: CallBounds) -> SampleReply:
        """One page, looked at."""
        next_cursor, keys = self._page(cursor, bounds)
        seen = tuple(zip(map(self._table.namespace_of, keys), self._look(keys), strict=True))
        return SampleReply(next_cursor, len(keys), self._driver.call("DBSIZE"), seen)

    def _page(self, cursor: int, bounds: CallBounds) -> tuple[int, list[bytes]]:
        reply = self._driver.call("SCAN", cursor, "COUNT", min(_PAGE, bounds.keys))
        return int(reply[0]), list(reply[1])

    def _decide(
        self, named: Sequence[tuple[bytes, Rule]]
    ) -> tuple[dict[str, RuleCount], list[bytes], list[tuple[bytes, int]]]:
        """What each key's rule asks for: counts by namespace, keys to delete, keys to re-time."""
        counts: dict[str, RuleCount] = {}
        victims: list[bytes] = []
        times: list[tuple[bytes, int]] = []
        looks = self._look([key for key, rule in named if _reads(rule)])
        for key, rule in named:
            seen = next(looks) if _reads(rule) else None
            goes = rule.unlink is Unlink.ALL or (seen is not None and _must_go(rule, seen))
            ttl_ms = 0 if goes or seen is None else _new_ttl_ms(rule, seen)
            if goes:
                victims.append(key)
            elif ttl_ms:
                times.append((key, ttl_ms))
            no_ttl = seen is not None and seen.ttl_ms is None
            count = RuleCount(1, int(no_ttl), int(goes), int(ttl_ms > 0))
            counts[rule.namespace] = counts.get(rule.namespace, RuleCount()) + count
        return counts, victims, times

    def _look(self, keys: Sequence[bytes]) -> Iterator[KeySample]:
        """Idle time, TTL and size of each key, in one round trip. An unknown TTL is no missing one."""
        commands: list[Command] = []
        for key in keys:
            commands.append(("PTTL", key))
            if self._can.idle:
                commands.append(("OBJECT", "IDLETIME", key))
            if self._can.memory_usage:
                commands.append(("MEMORY", "USAGE", key, "SAMPLES", 5))
        replies: Iterator[Any] = iter(self._driver.pipeline(commands, optional={"OBJECT", "MEMORY"}))
        for _ in keys:
            ttl = _number(next(replies))
            idle = _number(next(replies)) if self._can.idle else None
            size = _number(next(replies)) if self._can.memory_usage else None
            yield KeySample(idle, ttl, size)


def _only_the_dead(rule: Rule) -> bool:
    return rule.unlink is Unlink.ORPHAN or (rule.give_ms > 0 and rule.idle_s is not None)


def _reads(rule: Rule) -> bool:
    """Whether the rule decides by what the key is."""
    return rule.unlink is not Unlink.ALL and (rule.acts or rule.unlink is Unlink.COUNT)


def _must_go(rule: Rule, key: KeySample) -> bool:
    if rule.unlink is not Unlink.CUT:
        return False
    if rule.idle_s is not None and key.idle_s is not None and key.idle_s != rule.idle_s:
        return key.idle_s > rule.idle_s
    return rule.ttl_ms is None or (key.ttl_ms is not None and key.ttl_ms <= rule.ttl_ms)


def _new_ttl_ms(rule: Rule, key: KeySample) -> int:
    if rule.cap_ms and (key.ttl_ms is None or key.ttl_ms > rule.cap_ms):
        return rule.cap_ms
    return rule.give_ms if key.ttl_ms is None else 0


def _number(reply: object) -> int | None:
    return reply if isinstance(reply, int) and reply >= 0 else None
