"""The keys of a server in groups that are judged together: a namespace of the policy, or a prefix beside them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from spillgate.config import NamespacePolicy, Policy
from spillgate.errors import MASK
from spillgate.keyspace import MAX_STARS, Glob, Keyspace
from spillgate.keyspace.prefixes import usual_separator
from spillgate.model import Estimate, KeySample, Survey, Usage
from spillgate.policy.findings.numbers import share, times
from spillgate.policy.findings.queues import owned

Weigh = Callable[[KeySample], float | None]
"""How many bytes of a key count; None for a key of which that is unknown."""

_SAYS_CACHE = re.compile(r"cache", re.IGNORECASE)
# What is special in a glob, and how a census shows a byte that is no text.
_SPECIAL = re.compile(r"\\x[0-9a-f]{2}|[\[\]?\\]")
# A prefix is taken for a cache where so many of its keys end by themselves.
_CACHE_SHARE = 0.5
_LOOKED_AT = 500  # keys of a sample that tell what kind it is
# A word that fewer keys share may be somebody's own.
_FEW_KEYS = 4


class Kind(Enum):
    """What a group's keys are kept for."""

    CACHE = "cache"  # expendable by the policy; else a guess: most have a TTL, or the name says cache
    QUEUE = "queue"
    KEPT = "kept"  # protected by the policy
    PLAIN = "plain"  # nobody knows


@dataclass(frozen=True, slots=True)
class Group:
    """The keys of one namespace or one prefix of one database, with what the census knows of them.

    ``globs`` match its keys; none where globs cannot. A ``hidden`` group is of one key or a few, whose name is not to
    be shown.
    """

    database: int
    usage: Usage
    kind: Kind
    namespace: NamespacePolicy | None
    globs: tuple[Glob, ...]
    complete: bool
    hidden: bool

    @property
    def name(self) -> str:
        """The namespace's name, or the prefix as a pattern."""
        return MASK if self.hidden else self.usage.name

    @property
    def pattern(self) -> str:
        """The glob of its keys, as it is written in a policy file."""
        return str(self.globs[0]) if self.globs and not self.hidden else self.name

    @property
    def literal(self) -> bytes:
        """What its keys begin with, as far as that may be shown."""
        return self.globs[0].literal_prefix if self.globs and not self.hidden else b""

    @property
    def says_cache(self) -> bool:
        """Whether whoever named the keys called them a cache, or the policy has them for expendable."""
        if self.namespace is not None:
            return self.kind is Kind.CACHE
        return self.kind is Kind.CACHE and _SAYS_CACHE.search(self.usage.name) is not None

    @property
    def sample(self) -> tuple[KeySample, ...]:
        """Some of its keys, all of them where it is ``complete``."""
        return self.usage.sample

    def total(self, weigh: Weigh) -> Estimate | None:
        """The bytes that ``weigh`` counts, of all keys of the group; None where there is no sample."""
        if self.usage.bytes is None:
            return None
        parts = share(
            [(weigh(key) or 0, key.size_bytes) for key in self.sample if key.size_bytes],
            self.usage.keys.value if self.complete else None,
        )
        return times(self.usage.bytes, parts) if parts else None

    def total_among(
        self, among: Callable[[KeySample], bool], weigh: Weigh, certain: Collection[bytes] = ()
    ) -> Estimate | None:
        """The same where ``weigh`` knows only some of the keys that ``among`` is true for: those stand for all others.

        The ``certain`` ones were not drawn by chance but for their size. Where the whole group is known they count for
        themselves alone, else not at all.
        """
        chosen = [key for key in self.sample if among(key) and key.size_bytes]
        drawn = [key for key in chosen if key.name not in certain]
        rest = self.total(lambda key: key.size_bytes if among(key) and key.name not in certain else 0)
        weighed = [(part, key.size_bytes or 0) for key in drawn if (part := weigh(key)) is not None]
        inside = share(weighed, len(drawn) if self.complete else None)
        if not self.complete:
            whole = self.total(lambda key: key.size_bytes if among(key) else 0)
            return times(whole, inside) if whole and inside else None
        apart = sum(weigh(key) or 0 for key in chosen if key.name in certain)
        if rest is None or (drawn and inside is None):
            return None
        return Estimate.total([Estimate.exact(apart), times(rest, inside or Estimate.exact(0))])

    def number(self, wanted: Callable[[KeySample], bool]) -> Estimate | None:
        """How many keys are ``wanted``, by the sample; None without one."""
        drawn = share([(wanted(key), 1) for key in self.sample], self.usage.keys.value if self.complete else None)
        return times(self.usage.keys, drawn) if drawn else None


def groups_of(policy: Policy, survey: Survey, known: Iterable[KeySample], *, masked: bool) -> tuple[Group, ...]:
    """Every group that has keys; where they are ``masked``, none of a single key is named."""
    rows = [row for _, census in survey.databases for row in (*census.namespaces, *census.prefixes)]
    biggest = [key for _, census in survey.databases for key in census.biggest]
    seen = [*known, *biggest, *(key for row in rows for key in row.sample[:_LOOKED_AT])]
    return tuple(_groups(policy, survey, owned(seen), masked=masked))


def _groups(policy: Policy, survey: Survey, queues: Keyspace, *, masked: bool) -> Iterator[Group]:
    policies = {ns.name: ns for ns in policy.namespaces}
    for database, census in survey.databases:
        for usage in (*census.namespaces, *census.prefixes):
            if not usage.keys.value:
                continue
            namespace = policies.get(usage.name) if usage in census.namespaces else None
            globs = tuple(map(Glob, namespace.keys)) if namespace else _globs(usage)
            complete = census.exact and len(usage.sample) >= usage.keys.value
            few = usage.name != "*" and usage.keys.low < _FEW_KEYS
            hidden = masked and namespace is None and ("*" not in usage.name or few)
            yield Group(database, usage, _kind(usage, namespace, queues), namespace, globs, complete, hidden)


def _kind(usage: Usage, namespace: NamespacePolicy | None, queues: Keyspace) -> Kind:
    sample = usage.sample[:_LOOKED_AT]
    if sample and 2 * sum(queues.namespace_of(key.name) is not None for key in sample) > len(sample):
        return Kind.QUEUE
    if namespace is not None:
        return Kind.KEPT if namespace.protected else Kind.CACHE
    timed = sum(key.ttl_ms is not None for key in sample)
    if _SAYS_CACHE.search(usage.name) or (sample and timed >= _CACHE_SHARE * len(sample)):
        return Kind.CACHE
    return Kind.PLAIN


def _globs(usage: Usage) -> tuple[Glob, ...]:
    """The glob of a prefix: what is special in a glob escaped, no more stars than allowed, and open at its end."""
    parts = [_SPECIAL.sub(_escaped, part) for part in usage.name.split("*")]
    if len(parts) > MAX_STARS + 1:
        parts = [*parts[: MAX_STARS + 1], ""]
    text = re.sub(r"\*+", "*", "*".join(parts))
    globs = [Glob(pattern) for pattern in (text, f"{text.rstrip('*')}*") if pattern]
    return next(((glob,) for glob in globs if all(glob.matches(key.name) for key in usage.sample)), ())


def _escaped(match: re.Match[str]) -> str:
    """A byte that is no text is written with its number; in a glob only "any byte" can stand for it."""
    return "?" if len(match[0]) > 1 else f"\\{match[0]}"


def is_apart(group: Group, others: Iterable[Group]) -> bool:
    """Whether the globs of a prefix surely name its own keys alone, and none of the others in its database.

    A prefix stands for the keys that no longer one fits, and its glob for those of the longer ones as well: so only
    what has no other below it, nor beside it, is apart.
    """
    here = [other for other in others if other.database == group.database]
    separator = usual_separator([key.name for other in here if other.namespace is None for key in other.sample])
    return all(_is_apart(glob, other, separator) for glob in group.globs for other in here if other is not group)


def _is_apart(glob: Glob, other: Group, separator: bytes) -> bool:
    met = (*other.sample, *([other.usage.biggest] if other.usage.biggest else []))
    if not other.globs:
        return not any(glob.matches(key.name) for key in met)
    prefix = glob.literal_prefix
    for one in other.globs:
        theirs = one.literal_prefix
        if not (prefix.startswith(theirs) or theirs.startswith(prefix)) or not glob.overlaps(one):
            continue
        # Whole words and then anything: all such keys are in this group, and a shorter prefix has only the others.
        whole_words = glob.is_prefix and prefix.endswith(separator) and len(theirs) < len(prefix)
        if not whole_words or any(glob.matches(key.name) for key in met):
            return False
    return True


def owner(groups: Iterable[Group], database: int, key: bytes) -> Group | None:
    """The group of a key: that with the longest glob that matches it, namespaces before prefixes."""
    listed = tuple(groups)
    found = [
        (group.namespace is not None, len(glob.pattern), number)
        for number, group in enumerate(listed)
        if group.database == database
        for glob in group.globs
        if glob.matches(key)
    ]
    return listed[max(found)[2]] if found else None
