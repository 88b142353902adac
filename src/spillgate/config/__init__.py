"""The policy: what the policy file, the environment and the command line say, as frozen values."""

from spillgate.config.alerting import AlertSettings, FindingSeverity, QuietHours, Secret, WebhookSettings
from spillgate.config.choices import Cleanup, Codec, TtlMode, Verify
from spillgate.config.presets import PRESETS
from spillgate.config.reading import check_url, load_policy, parse_policy
from spillgate.config.settings import (
    LISTED,
    SETTINGS,
    CacheSettings,
    LevelSettings,
    MonitorSettings,
    NamespacePolicy,
    Policy,
    ServerSettings,
)
from spillgate.config.values import Setting

__all__ = [
    "LISTED",
    "PRESETS",
    "SETTINGS",
    "AlertSettings",
    "CacheSettings",
    "Cleanup",
    "Codec",
    "FindingSeverity",
    "LevelSettings",
    "MonitorSettings",
    "NamespacePolicy",
    "Policy",
    "QuietHours",
    "Secret",
    "ServerSettings",
    "Setting",
    "TtlMode",
    "Verify",
    "WebhookSettings",
    "check_url",
    "load_policy",
    "parse_policy",
]
