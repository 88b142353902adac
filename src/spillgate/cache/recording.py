"""What a recorder noted, as a value: a small document that is published, read, merged, and turned into estimates.

Of each namespace it has exact totals and sums over a sample of its keys, `Namespace.rate` of all (SHARDS: Waldspurger,
Park, Garthwaite, Ahmad, FAST 2015). Times are seconds. What stands for each TTL of `TTLS_S` comes from caches simulated
beside the real one, in each of which values live that long (Waldspurger, Saemundsson, Ahmad, Park, USENIX ATC 2017).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from spillgate.cache.curve import TTLS_S, Estimate, curve_of
from spillgate.compression import DamagedFrame, OversizedFrame, Zstd
from spillgate.keyspace import OWN_PREFIX

RECORDINGS: Final = OWN_PREFIX + "recorder:"
"""What the keys of published recordings begin with; then host, process number and a random word follow."""

SIZE_BUCKETS: Final = 26
"""Bucket n is for sizes of n bits: 2^(n-1) to 2^n - 1 bytes; the last for all that is larger."""
COST_BUCKETS: Final = 34
"""The same for microseconds of computing."""
HASHES: Final = 1 << 32
"""Hashes of keys are below this; sampled are those below ``rate`` times as much."""
LOWEST: Final = 24
MOST_BYTES: Final = 12 * 1024
"""The most that an encoded recording takes; the least read namespaces are left out where it would be more."""

_VERSION: Final = 1
_PLAIN, _PACKED = bytes((_VERSION << 4,)), bytes((_VERSION << 4 | 1,))
_MOST_PLAIN_BYTES: Final = 1 << 16
_SCAN_COUNT: Final = 1000
_AT_ONCE: Final = 100

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Ttls = Annotated[tuple[Count, ...], msgspec.Meta(min_length=len(TTLS_S), max_length=len(TTLS_S))]
_Spans = Annotated[tuple[Count, ...], msgspec.Meta(min_length=len(TTLS_S) + 1, max_length=len(TTLS_S) + 1)]
_Lowest = Annotated[tuple[Count, ...], msgspec.Meta(max_length=LOWEST)]


class UnreadableRecording(ValueError):
    """It is damaged, of another version, or no recording."""


class Process(msgspec.Struct, frozen=True, array_like=True):
    """Who recorded: ``token`` is random, and another one after a fork."""

    host: Annotated[str, msgspec.Meta(max_length=64)]
    pid: Count
    token: Annotated[str, msgspec.Meta(max_length=32)]

    @property
    def key(self) -> str:
        """Where it publishes."""
        return f"{RECORDINGS}{self.host}:{self.pid}:{self.token}"


class Namespace(msgspec.Struct, frozen=True, array_like=True):
    """One namespace: totals of all calls, then sums over the sampled keys alone.

    Of calls before the last day all counts hold half, of those before that a quarter, and so on, as does
    ``covered_s``: rates are right, and recent days weigh more.
    """

    name: Annotated[str, msgspec.Meta(max_length=64)]
    processes: Count
    """How many processes this is of."""
    covered_s: Seconds
    """The time recorded, added up over the processes."""
    sliding: bool
    """Whether reading a value gives it its whole TTL again."""
    reads: Count
    hits: Count
    writes: Count
    """Values that the application stored, or would have but for the server's memory."""
    computes: Count
    compute_s: Seconds
    costs: Annotated[tuple[Count, ...], msgspec.Meta(max_length=COST_BUCKETS)]
    """Computed values by the microseconds that took."""
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)]
    """The share of keys that was sampled; the sums below are to be divided by it."""
    keys: Count
    """Keys in use within a day."""
    updates: Count
    """Writes that no miss led to."""
    unfilled: Count
    """Misses that led to no write."""
    sizes: Annotated[tuple[Count, ...], msgspec.Meta(max_length=SIZE_BUCKETS)]
    """Written values by their stored bytes."""
    reuse: _Spans
    """Reads by the time since the last access of the same key: below the first of `TTLS_S`, ..., above the last."""
    first: _Spans
    """First reads of a key by how long it was watched before: misses of shorter TTLs, unknown of longer ones."""
    misses: _Ttls
    """Reads, other than first ones, that would miss: more time than the TTL is since the value was last written."""
    squares: _Ttls
    """Sum of the squares of each key's misses, estimated: how much it matters which keys are sampled."""
    kept_s: _Ttls
    """Time that values would be there, added up."""
    kept_kb_s: _Ttls
    """The same times their size."""
    lowest: _Lowest
    """The lowest hashes of sampled keys, and in how many processes each was seen."""
    seen_in: _Lowest
    absent: Count | None = None
    """Sampled reads that found nothing; None where an older library published."""
    marks: Annotated[tuple[Count, ...], msgspec.Meta(max_length=len(TTLS_S))] = ()
    """The reads there had been when it had been recorded for as long as each of `TTLS_S`; short where it was not."""
    hot: "Namespace | None" = None
    """The keys of most reads, where all of them were noted apart: part of the totals above, and of none of the sums."""

    @property
    def reads_per_s(self) -> float:
        """Reads of all processes together."""
        return self._per_s(self.reads)

    @property
    def sharing(self) -> float:
        """In how many processes a key is used, on average: the samples of all processes hold the same keys."""
        return sum(self.seen_in) / len(self.seen_in) if self.seen_in else 1.0

    def curve(self) -> tuple[Estimate, ...]:
        """What would be with each TTL of `TTLS_S`, shortest first; nothing where nothing was read."""
        return curve_of(self)

    def _per_s(self, amount: float) -> float:
        return amount / self.covered_s * self.processes if self.covered_s else 0.0


class Recording(msgspec.Struct, frozen=True, array_like=True):
    """What one process recorded, or several. Times are of the wall clock, in seconds since 1970."""

    processes: Annotated[tuple[Process, ...], msgspec.Meta(max_length=10_000)] = ()
    since_s: Seconds = 0.0
    until_s: Seconds = 0.0
    namespaces: Annotated[tuple[Namespace, ...], msgspec.Meta(max_length=256)] = ()
    left_out: Count = 0
    """Namespaces that are not among these, for want of room."""
    unreadable: Count = 0
    """Published recordings that could not be read."""

    def __getitem__(self, name: str) -> Namespace:
        """The namespace of that name.

        Raises:
            KeyError: it was not recorded.
        """
        for namespace in self.namespaces:
            if namespace.name == name:
                return namespace
        raise KeyError(name)

    def encode(self) -> bytes:
        """It as a document: a byte for version and compression, then MessagePack; of `MOST_BYTES` at the most."""
        recording = self
        while len(document := _encoded(recording)) > MOST_BYTES and recording.namespaces:
            rest = sorted(recording.namespaces, key=lambda one: one.reads)[1:]
            recording = msgspec.structs.replace(recording, namespaces=tuple(rest), left_out=recording.left_out + 1)
        return document


_decoder: Final = msgspec.msgpack.Decoder(Recording)
_encoder: Final = msgspec.msgpack.Encoder()
_zstd: Final = Zstd()


def _encoded(recording: Recording) -> bytes:
    plain = _encoder.encode(recording)
    packed = _zstd.compress(plain)
    return _PACKED + packed if len(packed) < len(plain) else _PLAIN + plain


def decode(document: bytes) -> Recording:
    """The recording in what `Recording.encode` wrote.

    Raises:
        UnreadableRecording: there is none, or it would be larger than any is.
    """
    try:
        plain = memoryview(document)[1:]
        if document[:1] == _PACKED:
            plain = _zstd.decompress(plain, _MOST_PLAIN_BYTES)
        elif document[:1] != _PLAIN or len(plain) > _MOST_PLAIN_BYTES:
            raise UnreadableRecording
        recording = _decoder.decode(plain)
    except (msgspec.MsgspecError, DamagedFrame, OversizedFrame, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecording from error
    if any(len(one.lowest) != len(one.seen_in) for one in recording.namespaces):
        raise UnreadableRecording
    return recording


def merge(recordings: Iterable[Recording]) -> Recording:
    """Several recordings as one: totals and sums are added, those of samples at the lowest rate of any."""
    every = tuple(recordings)
    parts: dict[str, list[Namespace]] = {}
    for namespace in (one for recording in every for one in recording.namespaces):
        parts.setdefault(namespace.name, []).append(namespace)
    return Recording(
        tuple(dict.fromkeys(process for recording in every for process in recording.processes)),
        min((recording.since_s for recording in every), default=0.0),
        max((recording.until_s for recording in every), default=0.0),
        tuple(_merged(several) for several in parts.values()),
        sum(recording.left_out for recording in every),
        sum(recording.unreadable for recording in every),
    )


def read_recordings(run: Callable[..., Any]) -> Recording:
    """All that is published on a server, merged.

    ``run`` sends one command, given as its parts (``run("GET", key)``), and returns the reply in bytes; what it raises
    is raised. All keys of the server are walked by SCAN for it, of which each call takes so many and no more.
    """
    documents: list[bytes] = []
    cursor: int | bytes = 0
    while True:
        cursor, keys = run("SCAN", cursor, "MATCH", RECORDINGS + "*", "COUNT", _SCAN_COUNT)
        for start in range(0, len(keys), _AT_ONCE):
            documents += [found for found in run("MGET", *keys[start : start + _AT_ONCE]) if found is not None]
        if int(cursor) == 0:
            break
    recordings: list[Recording] = []
    for document in dict.fromkeys(documents):  # a key may be met twice
        try:
            recordings.append(decode(document))
        except UnreadableRecording:
            recordings.append(Recording(unreadable=1))
    known = [recording for recording in recordings if recording.processes]
    merged = merge(known)
    return msgspec.structs.replace(merged, unreadable=merged.unreadable + len(recordings) - len(known))


def _merged(parts: Sequence[Namespace]) -> Namespace:
    rate = min(part.rate for part in parts)
    seen: dict[int, int] = {}
    for part in parts:
        for hashed, times in zip(part.lowest, part.seen_in, strict=True):
            seen[hashed] = seen.get(hashed, 0) + times
    # Below the lowest rate each part has a key that it saw, if among its lowest; and so the lowest of all are.
    lowest = sorted(hashed for hashed in seen if hashed < rate * HASHES)[:LOWEST]

    def total(field: str) -> Any:
        return sum(getattr(part, field) for part in parts)

    def sampled(field: str) -> int:
        return round(sum(getattr(part, field) * rate / part.rate for part in parts))

    def spread(field: str, *, exact: bool = False) -> tuple[int, ...]:
        longest = max(len(getattr(part, field)) for part in parts)
        sums = [0.0] * longest
        for part in parts:
            for number, amount in enumerate(getattr(part, field)):
                sums[number] += amount if exact else amount * rate / part.rate
        return tuple(round(amount) for amount in sums)

    return Namespace(
        name=parts[0].name,
        processes=total("processes"),
        covered_s=total("covered_s"),
        sliding=parts[0].sliding,
        reads=total("reads"),
        hits=total("hits"),
        writes=total("writes"),
        computes=total("computes"),
        compute_s=total("compute_s"),
        costs=spread("costs", exact=True),
        rate=rate,
        keys=sampled("keys"),
        updates=sampled("updates"),
        unfilled=sampled("unfilled"),
        sizes=spread("sizes"),
        reuse=spread("reuse"),
        first=spread("first"),
        misses=spread("misses"),
        squares=spread("squares"),
        kept_s=spread("kept_s"),
        kept_kb_s=spread("kept_kb_s"),
        lowest=tuple(lowest),
        seen_in=tuple(seen[hashed] for hashed in lowest),
        absent=None if any(part.absent is None for part in parts) else sampled("absent"),
        marks=_marks(parts),
        hot=_merged(hot) if (hot := [part.hot for part in parts if part.hot is not None]) else None,
    )


def _marks(parts: Sequence[Namespace]) -> tuple[int, ...]:
    """Of a part that was not recorded for so long all reads count."""
    longest = max(len(part.marks) for part in parts)
    return tuple(
        sum(part.marks[place] if place < len(part.marks) else part.reads for part in parts) for place in range(longest)
    )
