"""What the checks go by: everything that was seen of one server at one time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from spillgate.config import PRESETS, Policy
from spillgate.errors import MASK
from spillgate.keyspace import Glob
from spillgate.model import Census, Estimate, KeySample, Survey
from spillgate.policy.findings.finding import Finding, Severity, Unable
from spillgate.policy.findings.groups import Group, groups_of, is_apart, owner
from spillgate.policy.findings.queues import libraries

_Known = TypeVar("_Known")

Key: TypeAlias = tuple[int, bytes]
"""The number of a database, and the name of a key in it."""

_EXAMPLES = 3
# Of so few keys nothing may be told where all is allowed: they go while they are looked at.
_MOST_UNTOLD = 0.01
# What holds less than this share of the data, or of all memory in use, is not worth a word.
_LEAST_SHARE_OF_DATA = 0.01
_LEAST_SHARE_OF_MEMORY = 0.001
_GRADES = ((0.25, Severity.HIGH), (0.05, Severity.MEDIUM), (0.01, Severity.LOW))


@dataclass(frozen=True, slots=True)
class Value:
    """One string that was read: its length, how much of it was read, and the bytes which that part compresses to.

    ``with_dictionary`` is the same with a dictionary trained on other values of its group, None where it was one of
    those or there were too few. ``kind`` names the kind of file it is, None where it looks like none. ``drawn`` says
    that it was taken by chance, and not because it is big.
    """

    length: int
    read: int
    packed: int
    with_dictionary: int | None = None
    kind: str | None = None
    drawn: bool = True


@dataclass(frozen=True, slots=True)
class Elements:
    """How many elements a collection has; where known, how many some seconds later, and ever added (to a stream).

    ``longest`` and ``content_bytes`` are the longest of its fields, values and members, and all together; None where
    they were not read. ``drawn`` is that of a `Value`.
    """

    count: int
    later: int | None = None
    ever: int | None = None
    longest: int | None = None
    content_bytes: int | None = None
    drawn: bool = True


@dataclass(frozen=True, slots=True)
class Clients:
    """The connections in sum: how many, how many without a command for an hour, and what their buffers hold.

    ``worst`` tells of the one with the largest output buffer, which holds ``worst_bytes``.
    """

    number: int
    idle: int
    output_bytes: int
    worst: str = ""
    worst_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything seen of a server. None is unknown; ``reasons`` says why, by the name of the field.

    ``settings`` are the server's own by name. ``growth_bytes_s`` is how memory grows, in bytes a second. ``values`` and
    ``elements`` hold some strings and collections of the samples. ``known`` are keys that queue libraries always have,
    where they exist. ``default_user_open`` says whether anybody may log in without a password, ``governed`` whether a
    governor listens. With ``masked`` no key is named.
    """

    policy: Policy
    survey: Survey
    settings: Mapping[str, str] | None = None
    clients: Clients | None = None
    growth_bytes_s: Estimate | None = None
    values: Mapping[Key, Value] | None = None
    elements: Mapping[Key, Elements] | None = None
    known: tuple[KeySample, ...] = ()
    default_user_open: bool | None = None
    governed: bool | None = None
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    masked: bool = False
    groups: tuple[Group, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", groups_of(self.policy, self.survey, self.known, masked=self.masked))

    def need(self, value: _Known | None, name: str) -> _Known:
        """The value of the field of that name, where it is known.

        Raises:
            Unable: it is not.
        """
        if value is None:
            raise Unable(self.reasons.get(name, f"{name.replace('_', ' ')} unknown"))
        return value

    def need_types(self) -> None:
        """Raises `Unable` where the types of keys are not told."""
        self._need("TYPE", "types", lambda key: key.type is not None)

    def need_strings(self) -> None:
        """Raises `Unable` where it is not told which keys are strings; their encodings tell as well."""
        self._need("TYPE", "types", lambda key: bool(key.type or key.encoding))

    def need_encodings(self) -> None:
        """Raises `Unable` where the encodings of keys are not told."""
        self._need("OBJECT ENCODING", "encodings", lambda key: key.encoding is not None)

    def _need(self, command: str, what: str, told: Callable[[KeySample], bool]) -> None:
        sample = self._sample
        untold = sum(not told(key) for key in sample)
        if untold > _MOST_UNTOLD * len(sample):
            raise Unable(
                f"{command} is forbidden{'' if untold == len(sample) else ' for some keys'}: {what} are unknown"
            )

    def need_ttls(self) -> None:
        """Raises `Unable` where the TTLs of some keys are not told."""
        if any(group.usage.no_ttl is None for group in self.groups):
            raise Unable("PTTL is forbidden for some keys at least: TTLs are unknown")

    @property
    def _sample(self) -> list[KeySample]:
        return [key for group in self.groups for key in group.sample]

    @property
    def seen(self) -> list[KeySample]:
        """Every key of which the name is known, some of them twice."""
        biggest = [key for _, census in self.censuses for key in census.biggest]
        return [*self.known, *biggest, *self._sample]

    def nameable(self, group: Group) -> bool:
        """Whether lines of the policy file can make a prefix a namespace: of its keys and, surely, no others.

        A policy is for one database. No glob may overlap one of its namespaces, or the keys of a queue library.
        """
        if group.namespace is not None or group.database != self.own or not group.literal:
            return False
        taken = [glob for namespace in self.policy.namespaces for glob in namespace.keys]
        taken += [glob for library in libraries(self.seen) for glob in PRESETS[library]]
        if any(Glob(one).overlaps(glob) for one in taken for glob in group.globs):
            return False
        return is_apart(group, self.groups)

    def word(self, name: str) -> str:
        """A field of INFO. Raises `Unable` where the server does not tell it."""
        value = self.survey.info.get(name)
        if value is None:
            raise Unable(f"INFO does not tell {name}")
        return value

    def number(self, name: str) -> float:
        """A field of INFO that is a number. Raises `Unable` where the server does not tell it."""
        try:
            return float(self.word(name))
        except ValueError as error:
            raise Unable(f"INFO tells no number for {name}") from error

    def setting(self, name: str) -> str:
        """A setting of the server. Raises `Unable` where it does not tell it."""
        value = self.need(self.settings, "settings").get(name)
        if value is None:
            raise Unable(f"this server has no setting {name}")
        return value

    @property
    def eviction(self) -> str:
        """The server's eviction policy. Raises `Unable` where it does not tell it."""
        return self.word("maxmemory_policy")

    @property
    def maxmemory_bytes(self) -> int:
        """The server's own limit, 0 for none. Raises `Unable` where it does not tell it."""
        return int(self.number("maxmemory"))

    @property
    def limit_bytes(self) -> int | None:
        """The memory that may be used: declared, but never above the server's ``maxmemory``."""
        known = [self.policy.server.limit_bytes, int(self.survey.info.get("maxmemory", "0") or 0)]
        return min((size for size in known if size), default=None)

    @property
    def headroom_bytes(self) -> int:
        """What is left of the limit. Raises `Unable` where there is none."""
        if self.limit_bytes is None:
            raise Unable("no limit is known: the server has no maxmemory, and none was given with --limit")
        not_counted = int(self.survey.info.get("mem_not_counted_for_evict", "0") or 0)
        return max(0, self.limit_bytes - self.survey.used_bytes + not_counted)

    @property
    def data_bytes(self) -> float:
        """The bytes of all keys together. Raises `Unable` where sizes are not told."""
        totals = [census.total_bytes for _, census in self.survey.databases]
        if any(total is None for total in totals):
            raise Unable("MEMORY USAGE is forbidden, so sizes are unknown")
        return sum(total.value for total in totals if total is not None)

    @property
    def matters_bytes(self) -> float:
        """The least that is worth a word. Raises `Unable` where sizes are not told."""
        return max(self.data_bytes * _LEAST_SHARE_OF_DATA, self.survey.used_bytes * _LEAST_SHARE_OF_MEMORY, 1.0)

    @property
    def keys(self) -> int:
        """How many keys there are in all databases."""
        return sum(census.total_keys for _, census in self.survey.databases)

    @property
    def own(self) -> int:
        """The number of the policy's own database."""
        return self.survey.databases[0][0]

    @property
    def censuses(self) -> Iterator[tuple[int, Census]]:
        """The census of each database, with its number."""
        return iter(self.survey.databases)

    def graded(self, wins: Estimate) -> Severity:
        """How bad it is to waste so much, by the share of the memory in use."""
        part = wins.value / max(1, self.survey.used_bytes)
        return next((severity for least, severity in _GRADES if part >= least), Severity.INFO)

    def shown(self, database: int, name: bytes) -> str:
        """A key as a fix or an example names it: quoted as redis-cli reads it, or masked."""
        if not self.masked:
            return quoted(name)
        group = owner(self.groups, database, name)
        return f"{quoted(group.literal) if group and group.literal else ''}{MASK}"

    def about(
        self,
        group: Group,
        severity: Severity,
        text: str,
        fix: str,
        *,
        wins: Estimate | None,
        numbers: Mapping[str, Estimate | float | str],
        keys: Sequence[KeySample],
    ) -> Finding:
        """A finding about one group, with some of these keys for examples."""
        return Finding(
            severity,
            text,
            fix,
            wins=wins,
            place=group.name,
            is_namespace=group.namespace is not None,
            database=group.database,
            numbers=numbers,
            examples=self.examples(group.database, keys),
        )

    def examples(self, database: int, keys: Sequence[KeySample]) -> tuple[str, ...]:
        """Some of these keys, the biggest."""
        biggest = sorted(keys, key=lambda key: (-(key.size_bytes or 0), key.name))
        return tuple(dict.fromkeys(self.shown(database, key.name) for key in biggest[:_EXAMPLES]))


def quoted(name: bytes) -> str:
    """A key's name as redis-cli reads it: as it is where that is plain, else in double quotes with escapes."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text and not set(text) & set(" \"'\\"):
        return text
    return '"' + "".join(_escaped(byte) for byte in name) + '"'


def _escaped(byte: int) -> str:
    text = chr(byte)
    if text in '"\\':
        return f"\\{text}"
    return text if text.isascii() and text.isprintable() else f"\\x{byte:02x}"
