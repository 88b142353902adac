"""Spillgate keeps a Redis or Valkey below its memory limit without losing what must not be lost."""

from spillgate.config import Policy, load_policy, parse_policy
from spillgate.errors import SpillgateError
from spillgate.governor.loop import Governor

__all__ = ["Governor", "Policy", "SpillgateError", "load_policy", "parse_policy"]
