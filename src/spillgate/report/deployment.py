"""How the commands of this very deployment are typed: its policy file, its server, no secret. Pure."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from spillgate.config import Policy, ServerSettings
from spillgate.errors import mask_url

PASSWORD_VARIABLE = "REDISCLI_AUTH"  # noqa: S105 - the name under which redis-cli looks for one
_URL_VARIABLE = "REDIS_URL"
_PLAIN = re.compile(r"[ -~]*")
_GLOB = re.compile(r"\*|\?|\[\^?[^\]\\]+\]|\\.|.", re.DOTALL)
_REGEX = {"*": ".*", "?": "."}


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was given when the report was asked for: flags as they were typed, and which variables said the rest.

    ``url_variable`` names the variable of the environment that holds the server's URL, where one does.
    """

    config: str | None = None
    url: str | None = None
    limit: str | None = None
    url_variable: str | None = None

    def command(self, *words: str) -> str:
        """A command of Spillgate with the flags that lead to this deployment."""
        flags: list[str] = []
        if self.config is not None:
            flags += ["--config", shell_word(self.config)]
        if self.url is not None:
            secret = mask_url(self.url) != self.url
            flags += ["--url", f'"${_URL_VARIABLE}"' if secret else shell_word(self.url)]
        if self.limit is not None:
            flags += ["--limit", shell_word(self.limit)]
        return " ".join(["spillgate", *map(shell_word, words), *flags])

    @property
    def needs(self) -> tuple[str, ...]:
        """What has to be in the environment for `command`, in words."""
        if self.url is not None:
            return (f"{_URL_VARIABLE} holds the address with its password",) if mask_url(self.url) != self.url else ()
        return (f"{self.url_variable} is set as it was for this report",) if self.url_variable else ()


def redis_cli(server: ServerSettings, *words: str) -> str:
    """A command of redis-cli for the policy's server. A password comes from the environment."""
    parts = urlsplit(server.url)
    options = dict(parse_qsl(parts.query))
    said = ["redis-cli"]
    if parts.scheme == "unix":
        said += ["-s", shell_word(unquote(parts.path))]
        database = options.get("db", "0")
    else:
        said += ["-h", shell_word(parts.hostname or "127.0.0.1"), "-p", str(parts.port or 6379)]
        database = options.get("db") or parts.path.strip("/") or "0"
    if parts.scheme == "rediss":
        said += ["--tls", *(["--cacert", shell_word(str(server.ca_file))] if server.ca_file else [])]
        if server.cert_file and server.key_file:
            said += ["--cert", shell_word(str(server.cert_file)), "--key", shell_word(str(server.key_file))]
    if user := options.get("username") or unquote(parts.username or ""):
        said += ["--user", shell_word(user)]
    if database != "0":
        said += ["-n", shell_word(database)]
    return " ".join([*said, *words])


def has_password(policy: Policy) -> bool:
    """Whether somebody who connects has to give a password."""
    return mask_url(policy.server.url) != policy.server.url


def unlink_all(server: ServerSettings, globs: Iterable[str]) -> str:
    """What deletes the keys of these globs with redis-cli alone, a line each, without stopping the server.

    A key with a line feed comes out of ``--scan`` as two, of which either may be the name of another key: so what does
    not match the glob as a whole is left alone. A glob that has one itself gets a remark in place of a command.
    """
    delete = f"xargs -r -d '\\n' -n 500 {redis_cli(server, 'UNLINK')}"
    return "\n".join(
        f"# {shell_word(glob)} cannot be done by redis-cli: it has a line feed"
        if "\n" in glob
        else f"{redis_cli(server, '--scan', '--pattern', shell_word(glob))}"
        f" | LC_ALL=C grep -a -x -E {shell_word(_regex(glob))} | {delete}"
        for glob in globs
    )


def _regex(glob: str) -> str:
    """A glob as an extended regular expression."""
    return "".join(_REGEX[word] if (word := one[0]) in _REGEX else _as_it_is(word) for one in _GLOB.finditer(glob))


def _as_it_is(word: str) -> str:
    if len(word) > 1 and word[0] == "[":
        return word
    character = word[-1]
    return f"\\{character}" if character in r"\.^$*+?()[]{}|" else character


def shell_word(text: str) -> str:
    """A word as a shell takes it, in one line of plain characters whatever is in it."""
    if _PLAIN.fullmatch(text):
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if _PLAIN.fullmatch(character):
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
