"""TTLs in force that are not the policy file's: one small key, written by a governor and read by the cache library.

It is JSON: ``{"v": 1, "ttls": {"messages": [1620.0, 1800.0]}}``, by namespace the TTL in force and the file's, in
seconds. A later version may put more beside these, which is passed over; another ``v`` is none that can be read. The
key lives for minutes and is renewed, so with its governor it is gone.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from spillgate.keyspace.own import OWN_PREFIX

TTLS_KEY: Final = OWN_PREFIX + "ttls"
MOST_BYTES: Final = 8192
"""What does not fit is left out, and has the TTL of the file: some hundred namespaces do."""

_VERSION: Final = 1


class InForce(NamedTuple):
    """The TTL of a namespace that is in force, and the file's, in whose place it is."""

    ttl_s: float
    file_s: float


def written(ttls: Mapping[str, InForce]) -> bytes:
    """The document of these, of the first of them where they are too many."""
    kept = dict(ttls)
    while len(document := _document(kept)) > MOST_BYTES:
        kept.popitem()
    return document


def _document(ttls: Mapping[str, InForce]) -> bytes:
    return json.dumps({"v": _VERSION, "ttls": ttls}, separators=(",", ":")).encode()


def read(document: object) -> dict[str, InForce]:
    """What `written` wrote; nothing of what cannot be read, whatever it is."""
    if not isinstance(document, bytes) or len(document) > MOST_BYTES:
        return {}
    try:
        found: Any = json.loads(document)
        if found["v"] != _VERSION:
            return {}
        pairs = {str(name): InForce(float(ttls[0]), float(ttls[1])) for name, ttls in found["ttls"].items()}
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return {}
    return {name: pair for name, pair in pairs.items() if all(isfinite(ttl_s) and ttl_s > 0 for ttl_s in pair)}
