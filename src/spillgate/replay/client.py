"""A connection that sends many commands at once and reads their replies: bare, so that it does not hold up the server.

One command at a time, and through a driver, a client reaches a tenth of the rate that a replay needs.
"""

import random
import socket
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import hiredis

from spillgate.errors import ServerError, ServerUnreachable

_READ = 256 * 1024
_TIMEOUT_S = 30.0
_POOL = 1024 * 1024
_MISSING = object()

Reply = Any


class Refused(Exception):
    """An error that the server replied with."""


class Line:
    """One connection to a server on this machine, while in its context."""

    def __init__(self, url: str) -> None:
        """Prepare a connection to ``url``, which is of an embedded server."""
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 0)

    def __enter__(self) -> Self:
        try:
            self._socket = socket.create_connection(self._address, _TIMEOUT_S)
        except OSError as error:
            raise ServerUnreachable(f"the embedded Valkey: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(replyError=Refused, notEnoughData=_MISSING)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def exchange(self, packed: Sequence[bytes], count: int) -> list[Reply]:
        """Send packed commands and return their ``count`` replies, a `Refused` for one that failed.

        Raises:
            ServerUnreachable: the connection was lost.
        """
        replies: list[Reply] = []
        gets, feed, receive = self._reader.gets, self._reader.feed, self._socket.recv
        try:
            self._socket.sendall(b"".join(packed))
            while len(replies) < count:
                data = receive(_READ)
                if not data:
                    raise ServerUnreachable("the embedded Valkey ended")
                feed(data)
                while (reply := gets()) is not _MISSING:
                    replies.append(reply)
        except OSError as error:
            raise ServerUnreachable(f"the embedded Valkey: {error}") from error
        return replies

    def call(self, *command: str) -> Reply:
        """The reply to one command.

        Raises:
            ServerError: the server replied with an error.
        """
        (reply,) = self.exchange([packed(*(word.encode() for word in command))], 1)
        if isinstance(reply, Refused):
            raise ServerError(f"{command[0]}: {reply}") from reply
        return reply


def packed(*words: bytes) -> bytes:
    """A command as it goes over the wire."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Values:
    """Bytes that cannot be compressed, of any size, for next to nothing: slices of one buffer."""

    def __init__(self, seed: int = 1) -> None:
        self._pool = random.Random(seed).randbytes(_POOL)
        self._at = 0

    def value(self, size: int) -> bytes:
        """So many bytes, other ones each time."""
        if size > _POOL:
            return (self._pool * (size // _POOL + 1))[:size]
        start = self._at
        if start + size > _POOL:
            start = 0
        self._at = start + size
        return self._pool[start : start + size]
