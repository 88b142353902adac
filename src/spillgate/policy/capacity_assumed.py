"""What is assumed of objects that a server has none of yet. Pure; every use of it is told as an assumption.

The sizes are those that the deployment which Spillgate was asked for estimates: what a feature holds, by how many
objects that is.
"""

from collections.abc import Mapping

from spillgate.model import Estimate

_KB = 1024

ASSUMED: Mapping[str, tuple[Estimate, str]] = {
    "sessions": (Estimate(_KB, _KB / 2, 1.5 * _KB), "5-50KB of 10-50 users, about 100KB of 100"),
    "users": (Estimate(_KB, _KB / 2, 1.5 * _KB), "a user is taken to hold what a session does"),
    "channels": (Estimate(1.5 * _KB, _KB, 2 * _KB), "5-40KB of 5-20 channels"),
    "tasks": (Estimate(0.75 * _KB, _KB / 2, _KB), "25-200KB of 50-200 tasks"),
    "messages": (Estimate(360, 210, 525), "2-5MB of 10,000 messages"),
    "voice": (Estimate(4 * _KB, _KB, 10 * _KB), "10-100KB in light use, taken to be about 10 transcripts"),
    "ai-context": (Estimate(5 * _KB, 2 * _KB, 10 * _KB), "20-100KB while active, taken to be about 10 conversations"),
    "analytics": (Estimate(_KB / 2, _KB / 4, _KB), "0.5-1MB in real time, taken to be about 1,000-2,000 entries"),
}
"""Bytes of one object by the name of its feature, and what that is drawn from."""

UNKNOWN = Estimate(_KB, _KB / 4, 4 * _KB)
"""Of an object of which nothing at all is known."""
