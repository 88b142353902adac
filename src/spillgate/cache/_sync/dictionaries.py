# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""The dictionaries of one namespace as this process knows them, and keeping them in the server while they are needed.

Which one is current says the pointer key, which is read along with each write. So a process takes up a new dictionary,
and drops an old one, with its next write. It may have made that very write with the old one, maybe after hours without
any: then it sees to it that this is still there.
"""

from time import monotonic
from typing import Final

from spillgate.cache._sync.client import Client
from spillgate.cache.codec import Dictionary
from spillgate.cache.dictionary import Decay, dictionary_ttl_ms, read_pointer
from spillgate.cache.keys import Keys
from spillgate.cache.waiting import Hands, logger
from spillgate.compression import Zstd
from spillgate.errors import ServerError

_MISSING_S: Final = 10.0
# How often a process that writes sees to it that the current dictionary is there: a server that evicts the keys that
# were used the longest ago would take it first, since it is read only once by each process.
_TEND_S: Final = 30.0
# A dictionary takes up to a megabyte of a process's memory; most values are of the latest.
_MOST_KNOWN: Final = 8


class Dictionaries:
    """The current dictionary, those that values were read with, and what becomes of them in the server.

    ``longest_s`` is the longest TTL of a value.
    """

    def __init__(self, name: str, keys: Keys, client: Client, hands: Hands, longest_s: float) -> None:
        self.known: dict[int, Dictionary] = {}
        self.current: Dictionary | None = None
        self.decay = Decay()
        self._name = name
        self._keys = keys
        self._client = client
        self._hands = hands
        self._longest_s = longest_s
        self._seen: bytes | None = None
        self._missing: dict[int, float] = {}
        self._kept_at_s: dict[int, float] = {}
        self._tend_at_s = 0.0

    def saw(self, pointer: bytes | None) -> None:
        """Take over what the pointer key says; of a dictionary that cannot be had there is none."""
        if pointer != self._seen:
            self._point(pointer)
        elif self.current is not None and monotonic() >= self._tend_at_s:
            self._tend_at_s = monotonic() + _TEND_S
            self._hands.take(self._tend)

    def of(self, number: int) -> Dictionary | None:
        """The dictionary of this number, None where it is gone.

        Raises:
            ServerError: the server failed.
        """
        known = self.known.get(number)
        if known is not None or monotonic() < self._missing.get(number, 0.0):
            return known
        (content,) = self._client.send(("GET", self._keys.dictionary_version(number)))
        if isinstance(content, bytes):
            try:
                known = self._take_in(Dictionary(number, Zstd(content)))
            except ValueError as error:
                logger.warning("%s: dictionary %d is of no use: %s", self._name, number, error)
        if known is None:
            self._missing[number] = monotonic() + _MISSING_S
        return known

    def keep(self, number: int) -> None:
        """Keep a replaced dictionary for as long as the longest TTL that a value of it may have got just now.

        Raises:
            ServerError: the server failed.
        """
        now_s = monotonic()
        current = self.current is not None and self.current.number == number
        if current or now_s < self._kept_at_s.get(number, float("-inf")) + _TEND_S / 2:
            return
        self._kept_at_s[number] = now_s
        self._outlive(number)

    def _point(self, pointer: bytes | None) -> None:
        number, ratio = read_pointer(pointer)
        before, self.current = self.current, None
        try:
            if before is not None and before.number != number:
                self._outlive(before.number)
            current = None if number is None else self.of(number)
        except ServerError as error:
            self._client.complain(error)
            return
        if number is not None and current is None:
            return  # looked for again in a while, with a later write
        if self._seen != pointer:
            self.decay.begin(ratio)
        self.current, self._seen = current, pointer
        self._tend_at_s = monotonic() + _TEND_S

    def _outlive(self, number: int) -> None:
        """Let a dictionary that is not current live as long as a value written with it just now."""
        name, ttl_ms = self._keys.dictionary_version(number), dictionary_ttl_ms(self._longest_s)
        (there,) = self._client.send(("PEXPIRE", name, ttl_ms))
        if there == 0:
            self._restore(number, name, ttl_ms)

    def _tend(self) -> None:
        """See to it that the current dictionary is in the server, and counts as used.

        Put back it has a TTL, which is renewed here for as long as it is current: that it has been replaced meanwhile
        is nothing this process could know.
        """
        current = self.current
        if current is None:
            return
        name, ttl_ms = self._keys.dictionary_version(current.number), dictionary_ttl_ms(self._longest_s)
        _, left_ms = self._client.send(("TOUCH", name), ("PTTL", name))
        if left_ms == -2:  # noqa: PLR2004 (there is no such key)
            self._restore(current.number, name, ttl_ms)
        elif isinstance(left_ms, int) and left_ms >= 0:
            self._client.send(("PEXPIRE", name, ttl_ms))

    def _restore(self, number: int, name: str, ttl_ms: int) -> None:
        """Put a dictionary that the server lost back, if it is known here."""
        known = self.known.get(number)
        if known is not None and known.zstd.dictionary is not None:
            self._client.send(("SET", name, known.zstd.dictionary, "PX", ttl_ms, "NX"))

    def _take_in(self, dictionary: Dictionary) -> Dictionary:
        for old in list(self.known)[: 1 - _MOST_KNOWN]:
            if self.current is None or old != self.current.number:
                self.known.pop(old, None)
        self.known[dictionary.number] = dictionary
        return dictionary
