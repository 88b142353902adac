"""``spillgate doctor``: what was typed, the examination, its document, and how the command ends."""

from contextlib import closing
from dataclasses import dataclass

from spillgate import checkup
from spillgate.census.evidence import Closeness
from spillgate.checkup import Examination
from spillgate.cli.census import Request as CensusRequest
from spillgate.cli.options import PolicySource, gateway_of, let_others_go_first
from spillgate.cli.output import Exit, console, emit
from spillgate.config import Policy
from spillgate.errors import ConfigError
from spillgate.policy.findings import Severity
from spillgate.units import parse_duration


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command as they were typed."""

    source: PolicySource
    exact: bool = False
    error: str | None = None
    values: bool = True
    growth: str = "2s"
    mask: bool = False
    fail_on: Severity = Severity.MEDIUM
    as_json: bool = False

    def closeness(self) -> Closeness:
        """How closely to look.

        Raises:
            ConfigError: the time is none.
        """
        try:
            return Closeness(self.values, parse_duration(self.growth), self.mask)
        except ConfigError as error:
            raise ConfigError(str(error), source="command line", key="--growth") from error


def examine(request: Request) -> Exit:
    """The whole command, and the exit code it ends with.

    Raises:
        ConfigError: options or a policy that cannot be used.
        ServerError: the server failed.
    """
    wanted, close = CensusRequest(request.source, request.exact, request.error).wanted_error(), request.closeness()
    policy = request.source.load()
    try:
        with console(stderr=True).status("examining the server ..."):
            examination = _examination(policy, wanted, close)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    if request.as_json:
        emit(checkup.document(examination))
    else:
        from spillgate.cli import doctor_screens  # noqa: PLC0415 - see output.console

        doctor_screens.tell(examination)
    worst = examination.diagnosis.worst
    return Exit.ALARMED if worst is not None and worst >= request.fail_on else Exit.FINE


def _examination(policy: Policy, wanted: float, close: Closeness) -> Examination:
    let_others_go_first()
    with closing(gateway_of(policy)) as gateway:
        return checkup.examine(gateway, policy, wanted, close)
