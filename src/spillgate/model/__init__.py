"""The values that flow through Spillgate: what was seen, what was decided, what came of it.

All are frozen. Sizes are bytes, durations seconds (TTL cut-offs milliseconds, as the server counts them),
shares fractions of 1. ``None`` means unknown and is never written as zero.
"""

from spillgate.model.census import Census, Estimate, KeySample, Run, Survey, Tally, Usage
from spillgate.model.plan import Action, ActionKind, Outcome, Plan, Rule, Stop, Unlink
from spillgate.model.reading import Level, Reading

__all__ = [
    "Action",
    "ActionKind",
    "Census",
    "Estimate",
    "KeySample",
    "Level",
    "Outcome",
    "Plan",
    "Reading",
    "Rule",
    "Run",
    "Stop",
    "Survey",
    "Tally",
    "Unlink",
    "Usage",
]
