"""What mends things, exactly as it is to be typed."""

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal

from spillgate.config import NamespacePolicy
from spillgate.policy.findings.groups import Group
from spillgate.units import format_duration

_UNFIT = re.compile(r"[^A-Za-z0-9._]+")
_LONGEST_NAME = 64
_BMP = 0xFFFF  # what four digits can write
# TTLs that people choose, in seconds.
_ROUND_TTLS_S = (60, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800)
DEFAULT_TTL_S = 3600.0


def policy_lines(group: Group, *, ttl_s: float | None, cleanup: str) -> str:
    """The lines of a policy file that make a prefix a namespace; protected ones need no TTL.

    Only for a prefix that is nameable (`Evidence.nameable`): what else the glob names would be cleaned up with it.
    """
    lines = [
        "[[namespace]]",
        f"name = {_text(_name(group.name))}",
        f"keys = {_text(group.pattern)}",
    ]
    if ttl_s is not None:
        lines.append(f"ttl = {_text(format_duration(ttl_s))}")
    lines.append(f"cleanup = {_text(cleanup)}")
    if cleanup != "never":
        lines.append("priority = 1")
    return "\n".join(lines)


def presets_line(libraries: Iterable[str]) -> str:
    """The line of a policy file that names the keys of these queue libraries."""
    return f"presets = [{', '.join(map(_text, sorted(libraries)))}]"


def namespace_line(namespace: NamespacePolicy, *settings: str) -> str:
    """What is to be written in the table of a namespace that there is."""
    return "\n".join((f"in the policy file, [[namespace]] {_text(namespace.name)}:", *settings))


def config_set(name: str, value: object) -> str:
    """The command that changes a setting of the server; where CONFIG is blocked the plan's console has it."""
    text = str(value)
    return f"CONFIG SET {name} {_text(text) if not text or ' ' in text else text}"


def round_ttl_s(seconds: float) -> float:
    """The next longer time that people choose."""
    return next((float(ttl) for ttl in _ROUND_TTLS_S if ttl >= seconds), math.ceil(seconds / 86_400) * 86_400.0)


def round_up(number: float) -> int:
    """The next number with two digits that count: 513 → 520, 1,301 → 1,400."""
    exponent = Decimal(number).adjusted() - 1
    unit = 10 ** max(0, exponent)
    return math.ceil(number / unit) * unit


def round_down(size_bytes: int) -> int:
    """The power of two at or below a size."""
    return 1 << (max(1, size_bytes).bit_length() - 1)


def _name(pattern: str) -> str:
    return _UNFIT.sub("-", pattern).strip("-._")[:_LONGEST_NAME].rstrip("-._") or "others"


def _text(text: str) -> str:
    """As TOML and the server's command line read it, with nothing that a terminal would act on."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) <= _BMP else f"\\U{ord(c):08x}" for c in quoted
    )
