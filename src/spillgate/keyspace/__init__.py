"""Which namespace a key belongs to, and which prefix where it has none."""

from spillgate.keyspace.globs import MAX_STARS, Glob
from spillgate.keyspace.namespaces import Keyspace, Named
from spillgate.keyspace.prefixes import PrefixTree, grow

__all__ = ["MAX_STARS", "Glob", "Keyspace", "Named", "PrefixTree", "grow"]
