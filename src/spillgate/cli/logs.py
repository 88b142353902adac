"""Logs of a long-running command, on stderr: lines for people, or one JSON object a line for machines."""

import json
import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe log lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def log_to_stderr(style: LogFormat, level: LogLevel) -> None:
    """Send what is logged to stderr: our own lines from ``level`` on, those of libraries from warning on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style is LogFormat.JSON else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("spillgate").setLevel(level.upper())


def log_nowhere() -> None:
    """For commands whose screen or document tells everything: nothing is said twice."""
    logging.getLogger("spillgate").addHandler(logging.NullHandler())


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00Z warning message``; the event stands before the message."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, with a traceback below it where there is one."""
        event = _fields(record).get("event")
        said = f"{event}: {record.getMessage()}" if event else record.getMessage()
        line = f"{_time(record)} {record.levelname.lower():<7} {said}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "message", ...}``: severity in ``level``, memory's in ``memory_level``, then details."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = _fields(record)
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if "level" in fields:
            line["memory_level"] = fields.pop("level")
        line |= fields
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What a journal entry carries beside its message."""
    return dict(cast("dict[str, object]", record.__dict__.get("spillgate", {})))


def _time(record: logging.LogRecord) -> str:
    return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z"
