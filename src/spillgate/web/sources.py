"""What the web application reads, and the only things it reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from spillgate.alerts.alerts import Alerts
from spillgate.checkup import Checkup
from spillgate.errors import ConfigError
from spillgate.governor.history import History
from spillgate.governor.loop import Governor


@dataclass(frozen=True, slots=True)
class Sources:
    """A governor and what stands beside it; reading any of it costs the Redis server nothing.

    ``checkup`` and ``alerts`` are None where they do not run. ``token`` is asked for by what changes anything; with
    None that is off.
    """

    governor: Governor
    history: History
    checkup: Checkup | None = None
    alerts: Alerts | None = None
    token: str | None = None

    def __repr__(self) -> str:
        token = "set" if self.token else "none"
        return f"Sources({self.governor.state.level_label}, token={token})"


def token_in(environment: Mapping[str, str]) -> str | None:
    """The token in ``SPILLGATE_TOKEN``, without the white space that files end in; None where there is none.

    Raises:
        ConfigError: no header could hold it.
    """
    token = environment.get("SPILLGATE_TOKEN", "").strip()
    if not token.isprintable():
        raise ConfigError("expected a token of one line, without control characters", source="SPILLGATE_TOKEN")
    return token or None
