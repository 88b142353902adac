"""Where a full pass that was interrupted goes on from: a file."""

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from spillgate.census.collect import CollectorState
from spillgate.errors import ConfigError
from spillgate.server.gateway import Gateway

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """What a pass is of. A cursor means nothing to another server, or to the same one after a restart."""

    run_id: str | None
    database: int
    namespaces: str
    separator: bytes | None

    @classmethod
    def of(cls, gateway: Gateway, run_id: str | None, separator: bytes | None) -> "Subject":
        """The pass through the keys of ``gateway``, divided by its namespaces."""
        groups = "\n".join(gateway.table.names).encode() + gateway.table.census_groups(None)
        return cls(run_id, gateway.database, hashlib.sha256(groups).hexdigest(), separator)

    def differs(self, other: "Subject") -> str | None:
        """In what it differs from another."""
        if self.run_id != other.run_id:
            return "another server, or of this one before it was restarted"
        if self.database != other.database:
            return f"database {other.database}, and this is {self.database}"
        if self.namespaces != other.namespaces:
            return "other namespaces than the policy has now"
        return "another --separator" if self.separator != other.separator else None


@dataclass(frozen=True, slots=True)
class _Document:
    format: int
    subject: Subject
    passes: dict[int, CollectorState]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that holds a pass while it is not complete; only its owner may read it, for it has names of keys in it."""

    path: Path

    def load(self, subject: Subject) -> dict[int, CollectorState]:
        """By database how far the pass has come; nothing where there is no file.

        Raises:
            ConfigError: the file is of something else, or could not be written later.
        """
        try:
            document = msgspec.msgpack.decode(self.path.read_bytes(), type=_Document)
        except FileNotFoundError:
            if not os.access(self.path.parent, os.W_OK):
                raise self._error("cannot be written: choose a file in a folder that exists and is yours") from None
            return {}
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise self._error("is not a census to go on from: choose another file, or delete it") from error
        if document.format != _FORMAT:
            raise self._error("was written by another version: delete it to begin anew")
        if difference := subject.differs(document.subject):
            raise self._error(f"is of {difference}: delete it to begin anew, or choose another file")
        return document.passes

    def save(self, subject: Subject, passes: dict[int, CollectorState]) -> None:
        """Write it whole, or leave the file as it was.

        Raises:
            ConfigError: it cannot be written.
        """
        content = msgspec.msgpack.encode(_Document(_FORMAT, subject, passes))
        unfinished: str | None = None
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=self.path.name, delete=False) as file:
                unfinished = file.name
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).replace(self.path)
        except OSError as error:
            if unfinished is not None:
                with suppress(OSError):
                    Path(unfinished).unlink()
            raise self._error(f"cannot be written: {error.strerror}") from error

    def delete(self) -> None:
        """The pass is complete."""
        self.path.unlink(missing_ok=True)

    def _error(self, message: str) -> ConfigError:
        return ConfigError(message, source=str(self.path))
