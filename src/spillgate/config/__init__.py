"""The policy: what the policy file, the environment and the command line say, as frozen values."""

from spillgate.config.presets import PRESETS
from spillgate.config.reading import check_url, load_policy, parse_policy
from spillgate.config.settings import (
    SETTINGS,
    CacheSettings,
    Cleanup,
    Codec,
    LevelSettings,
    MonitorSettings,
    NamespacePolicy,
    Policy,
    ServerSettings,
    Setting,
    Verify,
)

__all__ = [
    "PRESETS",
    "SETTINGS",
    "CacheSettings",
    "Cleanup",
    "Codec",
    "LevelSettings",
    "MonitorSettings",
    "NamespacePolicy",
    "Policy",
    "ServerSettings",
    "Setting",
    "Verify",
    "check_url",
    "load_policy",
    "parse_policy",
]
