"""What tests of the governor share: a clock turned by hand, policies, and data to govern."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "ceo-platform.toml"
