"""Replay: a workload against a real server, under each eviction policy and under Spillgate, side by side."""

from spillgate.replay.contenders import EVERYONE, NOEVICTION, SPILLGATE, STOCK, Contender
from spillgate.replay.result import NamespaceResult, Result
from spillgate.replay.runner import Conditions, Progress, run
from spillgate.replay.sources import Format, Source, load
from spillgate.replay.workload import Op, Phase, Request, Space, Workload

__all__ = [
    "EVERYONE",
    "NOEVICTION",
    "SPILLGATE",
    "STOCK",
    "Conditions",
    "Contender",
    "Format",
    "NamespaceResult",
    "Op",
    "Phase",
    "Progress",
    "Request",
    "Result",
    "Source",
    "Space",
    "Workload",
    "load",
    "run",
]
