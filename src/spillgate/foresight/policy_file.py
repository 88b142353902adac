"""Changing TTLs in a policy file: the ``ttl`` of some namespaces, and nothing else in it by a single byte."""

import difflib
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from spillgate.config import parse_policy
from spillgate.errors import ConfigError
from spillgate.units import format_duration, parse_duration

_TTL = re.compile(r"""(?<![\w.-])(?:ttl|"ttl"|'ttl')[ \t]*=[ \t]*(?P<quote>["'])(?P<value>[^"'\\\n]*)(?P=quote)""")


def read_text(path: Path) -> str:
    """The file as it is, line ends included.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text: {error}", source=str(path)) from error


def with_ttls(text: str, ttls: Mapping[str, float], source: str) -> str:
    """The text with other TTLs, in seconds by the name of their namespace.

    Raises:
        ConfigError: it is no policy, has no such namespace with a ttl, or would be no policy with these TTLs.
    """
    try:
        for name, ttl_s in ttls.items():
            text = _with_ttl(text, name, _written(ttl_s), source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}", source=source) from error
    _check(text, ttls, source)
    return text


def _with_ttl(text: str, name: str, ttl: str, source: str) -> str:
    """The text with another value in one place: where that changes this ``ttl``, and nothing else that TOML reads.

    So it needs no more knowledge of TOML than its reader has, and every other byte stays as it is.
    """
    wanted = tomllib.loads(text)
    tables = wanted.get("namespace", [])
    table = next((one for one in tables if one.get("name") == name and "ttl" in one), None)
    if table is None:
        raise ConfigError(f'has no namespace "{name}" with a ttl to change', source=source)
    if table["ttl"] == ttl:
        return text
    table["ttl"] = ttl
    for found in _TTL.finditer(text):
        changed = f"{text[: found.start('value')]}{ttl}{text[found.end('value') :]}"
        with suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(changed) == wanted:
                return changed
    raise ConfigError(f'the ttl of "{name}" is not written in a way that can be changed: do it by hand', source=source)


def _written(ttl_s: float) -> str:
    """A TTL as people write it, where that says it exactly."""
    text = format_duration(ttl_s)
    return text if parse_duration(text) == ttl_s else f"{f'{ttl_s:.3f}'.rstrip('0').rstrip('.')}s"


def _check(text: str, ttls: Mapping[str, float], source: str) -> None:
    """Raises `ConfigError` unless the text can be loaded and says these TTLs."""
    policy = parse_policy(text, source, env=os.environ)
    found = {one.name: one.ttl_s for one in policy.namespaces}
    wrong = [name for name, ttl_s in ttls.items() if found.get(name) != ttl_s]
    if wrong:
        raise ConfigError(f'the ttl of "{wrong[0]}" could not be changed in this file', source=source)


def difference(before: str, after: str, name: str) -> str:
    """What was changed, as ``diff -u`` shows it."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, f"{name} (advised)", n=1
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def replace_file(path: Path, before: str, after: str, ask: Callable[[], bool] = lambda: True) -> bool:
    """Put ``after`` where ``before`` was, all at once, with the mode and owner of the file.

    False where ``ask`` says no. A link stays one: what it leads to is replaced.

    Raises:
        ConfigError: somebody changed the file meanwhile, or it cannot be written.
    """
    target = path.resolve()
    if not ask():
        return False
    if read_text(target) != before:
        raise ConfigError("was changed by somebody meanwhile: run the command again", source=str(path))
    try:
        _swap(target, after.encode())
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", source=str(path)) from error
    return True


def _swap(target: Path, content: bytes) -> None:
    """Write a file beside it and rename that: whoever reads it meanwhile sees the old one or the new one."""
    status = target.stat()
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(status.st_mode & 0o7777)
        with suppress(PermissionError):  # only the superuser may give files away
            os.chown(name, status.st_uid, status.st_gid)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
