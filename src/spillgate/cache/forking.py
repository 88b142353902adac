"""What becomes of a cache in a child process after a fork.

The child has copies of everything, but not of the threads that were at work: a lock that one of them held stays locked,
and what it had begun never ends. Connections are shared with the parent, to whom their replies belong. So everything
that has such state begins anew in the child. What it lets go of is kept and never collected, for closing a connection
of an event loop takes it out of the parent's loop as well.
"""

import os
import weakref
from typing import Protocol


class Forgets(Protocol):
    """What has state that does not survive a fork."""

    def forget(self) -> object:
        """Begin anew, and return what belongs to the parent process, if there is such."""
        ...


_registered: "weakref.WeakSet[Forgets]" = weakref.WeakSet()
_of_parents: list[object] = []


def register(one: Forgets) -> None:
    """Have ``one`` forget when this process was forked off."""
    _registered.add(one)


def _after_fork() -> None:
    _of_parents.extend(one.forget() for one in tuple(_registered))


os.register_at_fork(after_in_child=_after_fork)
