"""Playing a batch of requests on a server, cache-aside.

Many requests go out at once, and yet each key sees its own in their order, with what they lead to: a get that missed is
followed by the set of its value before the next request for the key is sent. So a batch takes a few round trips: in
each go, of every key, the requests up to the first get whose reply decides what comes next. Once a key is known to be
there, the rest of its requests go together; should it vanish even so, gets that missed after it are sent again.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from spillgate.errors import ServerError
from spillgate.replay.client import Line, Refused, Reply, Values
from spillgate.replay.ledger import Ledger
from spillgate.replay.names import Namer
from spillgate.replay.tally import Tally, Times
from spillgate.replay.workload import Op, Request


@dataclass(frozen=True, slots=True)
class Target:
    """How requests of one namespace are carried out: TTLs in wall milliseconds, None where keys have none.

    ``kept`` says that its keys are in the ledger. With ``ttl_wins`` a request's own TTL does not count.
    """

    named: Namer
    ttl_ms: int | None
    kept: bool
    ttl_wins: bool = False


_Step: TypeAlias = tuple[bytes, Request, Op, bool]  # the key, for which request, what to do, whether it fills a miss


class Player:
    """Plays batches over one connection. ``tallies`` counts by namespace, ``ledger`` keeps what must not be lost."""

    def __init__(self, line: Line, targets: Mapping[str, Target], factor: float) -> None:
        self.tallies = {name: Tally() for name in targets}
        self.times = Times()
        self.ledger = Ledger()
        self._line = line
        self._targets = targets
        self._factor = factor
        self._values = Values()

    def restart_counts(self) -> None:
        """Count from here on. The ledger goes on."""
        self.tallies = {name: Tally() for name in self._targets}
        self.times.clear()

    def play(self, batch: Iterable[Request]) -> None:
        """Carry out a batch, whatever round trips it takes.

        Raises:
            ServerError: the server failed in another way than by refusing a write for want of memory.
        """
        targets = self._targets
        steps: list[_Step] = [(targets[one.namespace].named(one.key), one, one.op, False) for one in batch]
        present: set[bytes] = set()
        while steps:
            now, later = _sendable(steps, present)
            began_s = time.monotonic()
            replies = self._line.exchange(*self._packed(now))
            ended_s = time.monotonic()
            self.times.round_trips_s.append(ended_s - began_s)
            steps = self._settle(now, replies, present, began_s, ended_s) + later

    def check(self) -> None:
        """Look for every key that must be there."""
        for keys in self.ledger.due(time.monotonic()):
            there = self._line.exchange([_EXISTS % (len(key), key) for key in keys], len(keys))
            gone = [key for key, reply in zip(keys, there, strict=True) if reply == 0]
            self.ledger.missing(gone, time.monotonic())

    def _packed(self, steps: Sequence[_Step]) -> tuple[list[bytes], int]:
        """The commands of some steps, and how many replies they have; what is in the ledger is looked for first."""
        out: list[bytes] = []
        count = len(steps)
        for step in steps:
            key, request, op, _ = step
            if op is Op.GET:
                out.append(_GET % (len(key), key))
            elif op is Op.DELETE:
                out.append(_DELETE % (len(key), key))
            else:
                target = self._targets[request.namespace]
                if self._looks_first(step):
                    out.append(_EXISTS % (len(key), key))
                    count += 1
                value, ttl = self._values.value(request.size), self._ttl(target, request)
                end = b"" if ttl is None else _PX % (len(ttl), ttl)
                out.append(_SET % (3 if ttl is None else 5, len(key), key, len(value), value, end))
        return out, count

    def _ttl(self, target: Target, request: Request) -> bytes | None:
        if request.ttl_s is not None and not target.ttl_wins:
            return b"%d" % max(1, round(request.ttl_s * 1000 / self._factor))
        return None if target.ttl_ms is None else b"%d" % target.ttl_ms

    def _settle(
        self, steps: Sequence[_Step], replies: list[Reply], present: set[bytes], began_s: float, ended_s: float
    ) -> list[_Step]:
        """Count what came of some steps; what is to be sent next because of it."""
        follow: list[_Step] = []
        gone: set[bytes] = set()
        answers = iter(replies)
        for step in steps:
            key, _, op, _ = step
            looked = next(answers) if self._looks_first(step) else None
            reply = next(answers)
            if op is Op.GET and reply is None:
                follow += [step] if key in gone else self._missed(step, ended_s)
                gone.add(key)
                present.discard(key)
            elif op is Op.GET:
                self._hit(step, reply)
                present.add(key)
            elif op is Op.DELETE:
                self._deleted(step, reply)
                present.discard(key)
            else:
                self._wrote(step, reply, looked, began_s, ended_s)
        return follow

    def _looks_first(self, step: _Step) -> bool:
        """Whether a set is preceded by a look: a key in the ledger might have been lost before it is written anew."""
        _, request, op, fills = step
        return op is Op.SET and not fills and self._targets[request.namespace].kept

    def _hit(self, step: _Step, reply: Reply) -> None:
        _sound(reply)
        tally = self.tallies[step[1].namespace]
        tally.reads += 1
        tally.hits += 1

    def _missed(self, step: _Step, ended_s: float) -> list[_Step]:
        """What a get that missed is followed by."""
        key, request, _, _ = step
        tally = self.tallies[request.namespace]
        tally.reads += 1
        if self._targets[request.namespace].kept:
            self.ledger.missed(key, ended_s)
        if request.size:
            return [(key, request, Op.SET, True)]
        tally.unfilled += 1
        return []

    def _deleted(self, step: _Step, reply: Reply) -> None:
        _sound(reply)
        self.tallies[step[1].namespace].deletes += 1
        self.ledger.forget(step[0])

    def _wrote(self, step: _Step, reply: Reply, looked: Reply, began_s: float, ended_s: float) -> None:
        key, request, _, fills = step
        target, tally = self._targets[request.namespace], self.tallies[request.namespace]
        if looked == 0:
            self.ledger.missed(key, ended_s)
        if fills:
            tally.fills += 1
        else:
            tally.writes += 1
        if isinstance(reply, Refused) and str(reply).startswith("OOM"):
            tally.refused += 1
            return
        _sound(reply)
        if target.kept:
            ttl = self._ttl(target, request)
            self.ledger.wrote(key, request.namespace, began_s + int(ttl) / 1000 if ttl else float("inf"))


_GET = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n"
_EXISTS = b"*2\r\n$6\r\nEXISTS\r\n$%d\r\n%b\r\n"
_DELETE = b"*2\r\n$6\r\nUNLINK\r\n$%d\r\n%b\r\n"
_SET = b"*%d\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b"
_PX = b"$2\r\nPX\r\n$%d\r\n%b\r\n"


def _sendable(steps: Sequence[_Step], present: set[bytes]) -> tuple[list[_Step], list[_Step]]:
    """What can go now, and what has to wait for a reply: of each key what comes after a get that may miss."""
    now: list[_Step] = []
    later: list[_Step] = []
    undecided: set[bytes] = set()
    deleted: set[bytes] = set()
    for step in steps:
        key, _, op, _ = step
        if key in undecided:
            later.append(step)
            continue
        now.append(step)
        if op is Op.DELETE:
            deleted.add(key)
        elif op is Op.GET and (key not in present or key in deleted):
            undecided.add(key)
    return now, later


def _sound(reply: Reply) -> None:
    if isinstance(reply, Refused):
        raise ServerError(f"the embedded Valkey: {reply}") from reply
