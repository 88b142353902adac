"""``spillgate advise``: what was typed, what is advised, and the policy file that is changed by it."""

import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from spillgate.cli.options import PolicySource, gateway_of, let_others_go_first
from spillgate.cli.output import Exit, console, emit
from spillgate.config import Policy
from spillgate.errors import ConfigError
from spillgate.foresight import advising, policy_file
from spillgate.policy.ttl import Confidence, TtlPlan
from spillgate.units import parse_bytes, parse_share

_TARGET = "--target"
_ENOUGH = (Confidence.HIGH, Confidence.MEDIUM)


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command as they were typed."""

    source: PolicySource
    target: str | None = None
    error: str = "1%"
    write: bool = False
    yes: bool = False
    as_json: bool = False

    def target_bytes(self) -> int | None:
        """The memory that the server shall use, None where that was not said.

        Raises:
            ConfigError: it is no size, or none at all.
        """
        try:
            size = None if self.target is None else parse_bytes(self.target)
        except ConfigError as error:
            raise ConfigError(str(error), source="command line", key=_TARGET) from error
        if size == 0:
            raise ConfigError("must be more than 0", source="command line", key=_TARGET)
        return size

    def wanted_error(self) -> float:
        """The largest error of the census, 0 for a full pass.

        Raises:
            ConfigError: it is no share.
        """
        try:
            return parse_share(self.error)
        except ConfigError as error:
            raise ConfigError(str(error), source="command line", key="--error") from error

    def check(self) -> None:
        """Whether there is a file to write to, and somebody to ask.

        Raises:
            ConfigError: there is not.
        """
        if self.yes and not self.write:
            raise ConfigError("has a meaning with --write only", source="command line", key="--yes")
        if not self.write:
            return
        if self.source.file is None:
            raise ConfigError(
                "there is no policy file to write to: name it with --config", source="command line", key="--write"
            )
        if not self.yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigError(
                "not on a terminal, so nobody can confirm: pass --yes to change the file, or leave out --write to see "
                "what would change"
            )


def advise(request: Request) -> Exit:
    """The whole command, and the exit code it ends with.

    Raises:
        ConfigError: options or a policy that cannot be used.
        ServerError: the server failed.
    """
    request.check()
    target, error, policy = request.target_bytes(), request.wanted_error(), request.source.load()
    try:
        with console(stderr=True).status("looking at keys and recordings ..."):
            done = _advised(policy, error, target)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    change = _Change.of(request.source.file, policy, done) if request.write and request.source.file else None
    if not request.as_json:
        from spillgate.cli import advise_screens  # noqa: PLC0415 - see output.console

        advise_screens.tell(done, target, is_asked_for=request.write)
    written = change is not None and change.carry_out(request)
    if request.as_json:
        emit(advising.document(done) | ({"written": sorted(change.ttls) if written else []} if change else {}))
    return Exit.FINE if change is None or written or not change.ttls else Exit.ALARMED


def _advised(policy: Policy, error: float, target: int | None) -> TtlPlan:
    let_others_go_first()
    with closing(gateway_of(policy)) as gateway:
        seen = advising.look(gateway, policy, error)
    done = advising.advise(policy, seen.survey, seen.recording, target_bytes=target)
    return replace(done, notes=(*done.notes, *([seen.why] if seen.why else [])))


@dataclass(frozen=True, slots=True)
class _Change:
    """Other TTLs for a policy file, by namespace, and what it would be then."""

    path: Path
    ttls: dict[str, float]
    before: str
    after: str

    @classmethod
    def of(cls, file: str, policy: Policy, done: TtlPlan) -> "_Change":
        """What is advised with enough confidence.

        Raises:
            ConfigError: the file cannot be changed.
        """
        now = {one.name: one.ttl_s for one in policy.namespaces}
        ttls = {
            advice.name: advice.recommended_s
            for advice in done.advices
            if advice.name in now
            and advice.recommended_s is not None
            and advice.recommended_s != now[advice.name]
            and advice.confidence in _ENOUGH
        }
        path = Path(file)
        before = policy_file.read_text(path)
        return cls(path, ttls, before, policy_file.with_ttls(before, ttls, file) if ttls else before)

    def carry_out(self, request: Request) -> bool:
        """Show the change, ask, and make it; whether it was made.

        Raises:
            ConfigError: the file was changed meanwhile, or cannot be written.
        """
        if not self.ttls:
            sys.stderr.write("nothing to change: no other TTL is advised with enough confidence\n")
            return False
        sys.stderr.write(policy_file.difference(self.before, self.after, str(self.path)))
        if not (request.yes or self._confirmed()):
            sys.stderr.write("nothing was changed\n")
            return False
        policy_file.replace_file(self.path, self.before, self.after)
        sys.stderr.write(f"changed {self.path}: a running governor takes it up on SIGHUP, processes when they start\n")
        return True

    def _confirmed(self) -> bool:
        sys.stderr.write(f"Change {len(self.ttls)} TTLs in {self.path}? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}
