"""Sweep and census where scripts are forbidden: the same job by SCAN and pipelines, slower.

Between the look at a key and what is done to it somebody may write it again. That can only cost a fresh value of a
namespace whose values may be deleted anyway: what is to be touched only if it is dead (a rule with an idle cut-off for
keys without a TTL) is left alone here, and keys that no rule names are never named.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from spillgate.model import KeySample, Rule, Run, Tally, Unlink
from spillgate.server.scanning import Ask, CallBounds, CensusReply, RuleCount, Scanner, SweepReply, covered

if TYPE_CHECKING:
    from spillgate.server.driver import Command

_PAGE = 200
_GONE, _NO_TTL = -2, -1
_FORBIDDEN = object()


@dataclass(frozen=True, slots=True)
class _CensusReply:
    cursor: int
    run: Run


@dataclass(frozen=True, slots=True)
class _Look:
    """What PTTL and MEMORY USAGE say of a key; None is unknown."""

    key: bytes
    ttl: int | None
    size: int | None

    def tally(self, heavy_bytes: int) -> Tally:
        """What the key adds to its group."""
        heavy = self.size is not None and self.size >= heavy_bytes
        size = self.size or 0
        return Tally(
            1,
            int(self.ttl == _NO_TTL),
            0 if heavy else size,
            int(heavy),
            size if heavy else 0,
            len(self.key),
            int(self.ttl is None),
            int(self.size is None),
        )


class Pipelined(Scanner):
    """Sweeps and censuses of one page of SCAN each."""

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

    def census(self, cursor: int | None, bounds: CallBounds, ask: Ask, *, made_up: bool) -> CensusReply:
        """One page, or so many random keys, looked at and added up."""
        if cursor is None:
            total, *picks = self._driver.pipeline([("DBSIZE",), *[("RANDOMKEY",)] * min(_PAGE, bounds.keys)])
            keys: list[bytes] = [key for key in picks if key is not None]
            end, share, expired = 0, 1.0, 0
        else:
            start = int(self._driver.call("SCAN", cursor, "COUNT", 1)[0]) if made_up else cursor
            page: Command = ("SCAN", start, "COUNT", min(_PAGE, bounds.keys))
            total, (reply, keys), left = self._driver.pipeline([("DBSIZE",), page, ("DBSIZE",)])
            end = int(reply)
            share, expired = covered(start, end), max(0, total - left)  # SCAN drops what is past its TTL
        looks = list(self._measure(keys))
        present = [look for look in looks if look.ttl != _GONE]
        details = self._details(present[:: ask.detail_every] if ask.detail_every else [], named=ask.named)
        big = [look for look in present if ask.big_bytes and look.size is not None and look.size >= ask.big_bytes]
        group = partial(self._table.index_of, tree=ask.tree)
        tallies: dict[int, list[Tally]] = {}
        for look in present:
            tallies.setdefault(group(look.key), []).append(look.tally(ask.heavy_bytes))
        sizes = [look.size for look in present if look.size is not None]
        run = Run(
            share,
            len(present),
            expired + len(looks) - len(present),
            total,
            {index: Tally.total(found) for index, found in tallies.items()},
            float(sum(size * size for size in sizes if size < ask.heavy_bytes)),
            float(sum(size * size for size in sizes if size >= ask.heavy_bytes)),
            tuple((group(key.name), key if ask.named else key._replace(name=b"")) for key in details),
            tuple((group(key.name), key) for key in self._details(big, named=True)),
        )
        return _CensusReply(end, run)

    def _measure(self, keys: Sequence[bytes]) -> Iterator["_Look"]:
        """Time to live and size of each key. A key without a size that can be asked is gone."""
        commands: list[Command] = []
        for key in keys:
            commands.append(("PTTL", key))
            if self._can.memory_usage:
                commands.append(("MEMORY", "USAGE", key, "SAMPLES", 5))
        replies: Iterator[Any] = iter(self._driver.pipeline(commands, optional={"PTTL", "MEMORY"}))
        for key in keys:
            ttl = next(replies)
            size = next(replies) if self._can.memory_usage else _FORBIDDEN
            if ttl == _GONE or size is None:
                yield _Look(key, _GONE, None)
            else:
                yield _Look(key, ttl if isinstance(ttl, int) else None, _number(size))

    def _details(self, looks: Sequence["_Look"], *, named: bool) -> Iterator[KeySample]:
        """What else there is to know of some keys."""
        commands: list[Command] = []
        for look in looks:
            if self._can.idle:
                commands.append(("OBJECT", "IDLETIME", look.key))
            if named:
                commands += [("OBJECT", "ENCODING", look.key), ("TYPE", look.key)]
        replies: Iterator[Any] = iter(self._driver.pipeline(commands, optional={"OBJECT", "TYPE"}))
        for look in looks:
            idle = _number(next(replies)) if self._can.idle else None
            encoding, kind = (_word(next(replies)), _word(next(replies))) if named else (None, None)
            yield KeySample(idle, _number(look.ttl), look.size, look.key, kind, encoding)

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


def _word(reply: object) -> str | None:
    if isinstance(reply, bytes):
        return reply.decode()
    return reply if isinstance(reply, str) and reply != "none" else None
