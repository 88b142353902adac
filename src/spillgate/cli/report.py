"""``spillgate report``: what was typed, the document, where it goes, and how the command ends."""

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from spillgate.cli.options import PolicySource, gateway_of, let_others_go_first
from spillgate.cli.output import Exit, console, emit
from spillgate.errors import ConfigError
from spillgate.report import composing, gathering, rendering
from spillgate.report.deployment import Deployment
from spillgate.report.model import Format, Report
from spillgate.units import format_duration, parse_duration, parse_share

# Where each format says when it was made, so that the next report knows.
_STAMP = re.compile(r'generated[-_]at"?(?: content=|:) ?"?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)')
_HEAD_BYTES = 4096
_LIMITS = ("SPILLGATE_SERVER_LIMIT", "SPILLGATE_LIMIT")
_VARIABLES = ("SPILLGATE_SERVER_URL", "SPILLGATE_URL", "REDIS_URL")


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command as they were typed."""

    source: PolicySource
    form: Format | None = None
    output: Path | None = None
    history: Path | None = None
    since: str | None = None
    error: str = "1%"
    growth: str = "2s"
    examples: bool = False
    as_json: bool = False

    def request(self, now_s: float) -> gathering.Request:
        """What is to be gathered.

        Raises:
            ConfigError: options that cannot be used.
        """
        since_s, why = self._since(now_s)
        return gathering.Request(
            self._deployment(),
            since_s,
            why,
            self.history,
            _read("--error", self.error, parse_share),
            _read("--growth", self.growth, parse_duration),
            self.examples,
        )

    @property
    def format(self) -> Format:
        """As it was asked for, else as the name of the file ends."""
        if self.form is not None:
            return self.form
        return Format.HTML if self.output is not None and self.output.suffix in {".html", ".htm"} else Format.MD

    def _since(self, now_s: float) -> tuple[float, str]:
        if self.since is not None:
            return _since(self.since, now_s), "--since"
        last = stamp_of(self.output) if self.output is not None else None
        if last is not None and last < now_s:
            return last, "the last report"
        days = format_duration(gathering.DEFAULT_PAST_S)
        return now_s - gathering.DEFAULT_PAST_S, f"{days}, for no earlier report stands in place of this one"

    def _deployment(self) -> Deployment:
        variable = None
        if self.source.url is None:
            variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
        limit = self.source.limit or next((said for name in _LIMITS if (said := os.environ.get(name))), None)
        return Deployment(self.source.file, self.source.url, limit, variable)


def write(asked: Asked) -> Exit:
    """The whole command, and the exit code it ends with.

    Raises:
        ConfigError: options or a policy that cannot be used.
        ServerError: the server cannot be read.
        MissingExtra: what fills the templates is not installed.
    """
    request, policy = asked.request(time.time()), asked.source.load()
    if asked.output is not None:
        _check(asked.output)
    templates = None if asked.as_json else rendering.environment()
    let_others_go_first()
    try:
        with console(stderr=True).status("connecting ...") as status, closing(gateway_of(policy)) as gateway:
            seen = gathering.gather(gateway, policy, request, tell=lambda step: status.update(f"{step} ..."))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    made = composing.compose(seen)
    if asked.as_json and asked.output is None:
        emit(rendering.document(made))
    else:
        text = _json(made) if asked.as_json else rendering.render(made, asked.format, templates)
        _put(text, asked.output)
    if made.unreachable:
        return Exit.UNREACHABLE
    return Exit.ALARMED if made.alarmed else Exit.FINE


def _json(made: Report) -> str:
    return json.dumps(rendering.document(made), ensure_ascii=False, indent=2) + "\n"


def _put(text: str, output: Path | None) -> None:
    """To stdout, or in place of the file at once, so that nobody finds half of it.

    Raises:
        ConfigError: the file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        _replace(output, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise _refused("-o", f"{output}: {error.strerror or error}") from error
    sys.stderr.write(f"wrote {output}\n")


def _replace(output: Path, content: bytes) -> None:
    target = output.resolve()  # of a link the file that it points to
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(target))  # noqa: PTH101 - a name, not a path
        os.replace(name, target)  # noqa: PTH105 - the same
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - the same
        raise


def _mode(target: Path) -> int:
    """That of the file that is replaced, else what any new file gets."""
    try:
        return target.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _check(output: Path) -> None:
    """Whether the file can be written, before a server is asked anything.

    Raises:
        ConfigError: it cannot.
    """
    if output.is_dir():
        raise _refused("-o", f"{output} is a directory: name a file in it")
    if output.exists() and not output.is_file():
        raise _refused("-o", f"{output} is no plain file: leave out -o to write to stdout")
    if not output.resolve().parent.is_dir():
        raise _refused("-o", f"the directory {output.parent} does not exist: make it, or choose another file")


def stamp_of(path: Path) -> float | None:
    """When the report in a file was made, in Unix seconds; None where there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    found = _STAMP.search(head)
    if found is None:
        return None
    with suppress(ValueError):
        return datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    return None


def _since(text: str, now_s: float) -> float:
    """A time that was typed: so long ago, or a date.

    Raises:
        ConfigError: it is neither, or lies ahead.
    """
    try:
        return now_s - parse_duration(text)
    except ConfigError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _refused("--since", f'expected a time such as "7d" or "2026-11-01", got "{text}"') from None
    at_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if at_s >= now_s:
        raise _refused("--since", f'"{text}" lies ahead: name a time that has been')
    return at_s


def _read(option: str, text: str, parse: Callable[[object], float]) -> float:
    try:
        return parse(text)
    except ConfigError as error:
        raise _refused(option, str(error)) from error


def _refused(option: str, message: str) -> ConfigError:
    return ConfigError(message, source="command line", key=option)
