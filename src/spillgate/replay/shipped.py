"""The scenarios that come with the package."""

from importlib import resources

from spillgate.replay.scenario import Scenario
from spillgate.replay.scenario_file import parse_scenario

SHIPPED = ("normal", "busy", "flood", "reference")
"""Their names, the quietest first."""


def shipped_scenario(name: str, seed: int | None = None) -> Scenario:
    """One of `SHIPPED`."""
    text = (resources.files("spillgate.replay") / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_scenario(text, f"{name}.toml", name, seed=seed)
