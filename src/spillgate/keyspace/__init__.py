"""Which namespace a key belongs to, and which prefix where it has none."""

from spillgate.keyspace.globs import MAX_STARS, Glob
from spillgate.keyspace.namespaces import Keyspace, Named
from spillgate.keyspace.own import OWN_PREFIX, WAKE_CHANNEL
from spillgate.keyspace.prefixes import PrefixTree, grow

__all__ = ["MAX_STARS", "OWN_PREFIX", "WAKE_CHANNEL", "Glob", "Keyspace", "Named", "PrefixTree", "grow"]
