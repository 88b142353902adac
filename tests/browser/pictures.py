"""Pictures of the page, compared with tolerance: another version of the browser draws letters a little differently.

``SPILLGATE_UPDATE_GOLDEN=1`` writes them anew; what changed is then seen by looking at them.
"""

from __future__ import annotations

import io
import os

from PIL import Image, ImageChops

from tests.goldens import GOLDEN

FOLDER = GOLDEN / "page"
_COLOURS = 128
_SHRINK = 4  # so that a letter that moved by a pixel does not count
_MOST_DIFFERENT = 0.01  # of all pixels, once shrunk
_DIFFERENT = 40  # of 255, in any channel
_MOST_LONGER = 0.01  # of the height


def assert_picture(name: str, png: bytes) -> None:
    """Whether ``tests/golden/page/<name>.png`` looks like this."""
    path = FOLDER / f"{name}.png"
    shown = Image.open(io.BytesIO(png)).convert("RGB")
    if os.environ.get("SPILLGATE_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        shown.quantize(_COLOURS).save(path, optimize=True)
    assert path.exists(), f"{path.name} is missing: SPILLGATE_UPDATE_GOLDEN=1 writes it"
    with Image.open(path) as kept:
        golden = kept.convert("RGB")
    assert shown.width == golden.width
    taller = abs(shown.height - golden.height) / golden.height
    assert taller <= _MOST_LONGER, f"{path.name} is {golden.height} pixels high, the page {shown.height}"
    share = _share_different(shown, golden)
    assert share <= _MOST_DIFFERENT, f"{share:.1%} of {path.name} differ: SPILLGATE_UPDATE_GOLDEN=1 writes it anew"


def _share_different(one: Image.Image, other: Image.Image) -> float:
    size = (one.width // _SHRINK, min(one.height, other.height) // _SHRINK)
    box = (0, 0, size[0] * _SHRINK, size[1] * _SHRINK)
    small = [picture.crop(box).resize(size, Image.Resampling.BOX) for picture in (one, other)]
    channels = ImageChops.difference(*small).split()
    worst = ImageChops.lighter(ImageChops.lighter(channels[0], channels[1]), channels[2])
    different = sum(worst.histogram()[_DIFFERENT:])
    return different / (size[0] * size[1])
