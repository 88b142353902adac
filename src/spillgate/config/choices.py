"""Settings that are one of some words."""

from enum import StrEnum


class Cleanup(StrEnum):
    """What emergency cleanup may do to a namespace."""

    CLEAR = "clear"
    """Delete its keys until the target is reached."""
    TRIM = "trim"
    """Delete the longest idle, else the soonest to expire, until the target is reached."""
    EXPIRED = "expired"
    """Delete what is past its TTL, and what has no TTL and is idle longer than ``ttl``."""
    SHORTEN = "shorten"
    """Cap remaining TTLs at ``emergency_ttl`` (``critical_ttl`` at critical), then trim if pressure stays."""
    NEVER = "never"
    """Nothing, at any level."""


class Verify(StrEnum):
    """How far a TLS server's certificate is checked."""

    FULL = "full"
    """Its chain and its host name."""
    CA = "ca"
    """Its chain alone."""
    NONE = "none"
    """Not at all."""


class Codec(StrEnum):
    """How the cache library writes a value."""

    MSGPACK = "msgpack"
    JSON = "json"


class TtlMode(StrEnum):
    """What becomes of recommendations for a namespace's ``ttl``."""

    ADVISE = "advise"
    """They are told."""
    AUTO = "auto"
    """The governor goes by them: slowly down, quickly back, between ``min_ttl`` and ``max_ttl``."""
