"""What a sweep or a sample is asked and what it answers, and where in the keyspace it stands."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Protocol

from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError
from spillgate.keyspace import Glob, Keyspace, PrefixTree
from spillgate.model import Reading, Rule, Run
from spillgate.server.capabilities import Capabilities
from spillgate.server.driver import Driver
from spillgate.server.packing import Packable, pack

_CURSOR_BITS = 64


@dataclass(frozen=True, slots=True)
class CallBounds:
    """How much one call may do: keys visited, microseconds on the server, bytes freed (0: no bound)."""

    keys: int
    microseconds: int
    need_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What was done with the keys of one namespace. ``no_ttl`` is counted where TTLs were read."""

    matched: int = 0
    no_ttl: int = 0
    deleted: int = 0
    retimed: int = 0

    def __add__(self, other: "RuleCount") -> "RuleCount":
        """Both counts together."""
        return RuleCount(
            self.matched + other.matched,
            self.no_ttl + other.no_ttl,
            self.deleted + other.deleted,
            self.retimed + other.retimed,
        )


@dataclass(frozen=True, slots=True)
class SweepReply:
    """One sweep call: the cursor to go on from (0: the end), what it did, and the server's memory right after it.

    ``used_before_bytes`` is the memory right before the call; with the reading after the call before, it tells what
    others wrote in between.
    """

    cursor: int
    visited: int
    expired: int
    freed_bytes: int
    used_before_bytes: int
    reading: Reading
    counts: dict[str, RuleCount] = field(default_factory=dict[str, RuleCount])


@dataclass(frozen=True, slots=True)
class Ask:
    """What a census wants to know of the keys.

    ``tree`` divides those of no namespace. One key in ``detail_every`` is told of by itself (0: none), with name, type
    and encoding where ``named``. Keys of ``heavy_bytes`` and more are added up apart, those of ``big_bytes`` and more
    told of in any case (0: none).
    """

    tree: PrefixTree | None = None
    detail_every: int = 1
    named: bool = False
    heavy_bytes: int = 1 << 62
    big_bytes: int = 0


class CensusReply(Protocol):
    """One census call: the cursor to go on from (0: the end), and what it saw.

    The call is made when it is asked for, the answer read when one of the two is: before anything else is asked.
    """

    @property
    def cursor(self) -> int:
        """The cursor to go on from."""
        ...

    @property
    def run(self) -> Run:
        """What was seen."""
        ...


class ScanTable:
    """The namespaces of a policy as scripts are told them: the index of a namespace counts from 1."""

    __slots__ = ("_globs", "_keyspace", "_packed", "names")

    def __init__(self, namespaces: Iterable[NamespacePolicy]) -> None:
        """Compile the globs of ``namespaces`` once.

        Raises:
            ConfigError: a key of a protected namespace would belong to another, too. The policy file's reader refuses
                every such overlap; a policy made by hand has to pass here.
        """
        listed = tuple(namespaces)
        _refuse_doubt(listed)
        self.names = tuple(ns.name for ns in listed)
        self._keyspace = Keyspace(listed)
        self._packed: tuple[PrefixTree | None, bytes] | None = None
        self._globs = tuple(
            (index, _matching(Glob(pattern))) for index, ns in enumerate(listed, start=1) for pattern in ns.keys
        )

    def namespace_of(self, key: bytes) -> str | None:
        """The name of a key's namespace, None where it has none."""
        return self._keyspace.namespace_of(key)

    @property
    def absent_key(self) -> bytes:
        """A key that nobody has, within a namespace where there is one: some users may touch no others."""
        prefix = self._globs[0][1][1] if self._globs and self._globs[0][1][0] == "prefix" else b""
        return prefix + b"spillgate:probe"

    def index_of(self, key: bytes, tree: PrefixTree | None) -> int:
        """The group of a key in a census: its namespace's index, else its prefix's, else 0."""
        name = self._keyspace.namespace_of(key)
        if name is not None:
            return self.names.index(name) + 1
        return tree.index_of(key) + len(self.names) + 1 if tree else 0

    def census_groups(self, tree: PrefixTree | None) -> bytes:
        """The globs and the tree for ``census.lua``, packed."""
        if self._packed is None or self._packed[0] is not tree:
            self._packed = tree, self._pack(tree)
        return self._packed[1]

    def _pack(self, tree: PrefixTree | None) -> bytes:
        prefixes: dict[bytes, dict[bytes, int]] = {}
        for index, (kind, text) in self._globs:
            if kind == "prefix":
                prefixes.setdefault(b"%d" % len(text), {})[text] = index
        patterns = [(text, index) for index, (kind, text) in self._globs if kind == "pattern"]
        groups: dict[bytes, Packable] = {b"prefixes": prefixes, b"patterns": patterns}
        if tree:
            groups |= {b"tree": tree.nested(len(self.names) + 1), b"separator": tree.separator}
        return pack(groups)

    def sweep_arguments(self, rules: Mapping[str, Rule]) -> list[str | bytes | int]:
        """The globs of the namespaces in ``rules`` for ``sweep.lua``, each with its rule."""
        return [
            part
            for index, matching in self._globs
            if (rule := rules.get(self.names[index - 1])) is not None
            for part in (*matching, index, *_encode(rule))
        ]

    def by_name(self, rules: Iterable[Rule], *, others: bool = True) -> dict[str, Rule]:
        """The rule of each namespace; where several name one, the first decides.

        ``others`` adds the namespaces that no rule names, so that their keys are counted.
        """
        by_name = {name: Rule(name) for name in self.names} if others else {}
        for rule in reversed(tuple(rules)):
            by_name[rule.namespace] = rule
        return by_name


def _refuse_doubt(namespaces: Sequence[NamespacePolicy]) -> None:
    protected, expendable = (
        [(ns.name, Glob(key)) for ns in namespaces if ns.protected is safe for key in ns.keys] for safe in (True, False)
    )
    for (name, mine), (other, theirs) in product(protected, expendable):
        if mine.overlaps(theirs):
            message = f'"{theirs}" of the namespace "{other}" overlaps "{mine}" of "{name}", which is protected'
            raise ConfigError(message)


class Scanner:
    """What the two ways of visiting keys work with."""

    def __init__(
        self, driver: Driver, table: ScanTable, capabilities: Capabilities, parse: Callable[[bytes], Reading]
    ) -> None:
        """Work through ``driver``; ``parse`` makes a reading of an INFO reply."""
        self._driver = driver
        self._table = table
        self._can = capabilities
        self._parse = parse


def _matching(glob: Glob) -> tuple[str, bytes]:
    """Comparing a prefix is cheaper than a pattern, where that is enough."""
    return ("prefix", glob.literal_prefix) if glob.is_prefix else ("pattern", glob.to_lua())


def _encode(rule: Rule) -> tuple[str, int, int, int, int]:
    idle_s = -1 if rule.idle_s is None else rule.idle_s
    ttl_ms = -1 if rule.ttl_ms is None else rule.ttl_ms
    return rule.unlink.value, idle_s, ttl_ms, rule.cap_ms, rule.give_ms


def covered(start: int, end: int) -> float:
    """The share of the table between two cursors; 0 as the end is the end of the table."""
    size = 1 << _CURSOR_BITS
    return ((scan_position(end) - scan_position(start)) % size or size) / size


def scan_position(cursor: int) -> int:
    """Where a cursor stands in the order of SCAN, which counts through the table with the bits reversed."""
    return int(format(cursor, f"0{_CURSOR_BITS}b")[::-1], 2)


def cursor_at(position: float) -> int:
    """The cursor that stands at a share of the table, in the order of SCAN."""
    return int(format(int(position * (1 << _CURSOR_BITS)), f"0{_CURSOR_BITS}b")[::-1], 2)
