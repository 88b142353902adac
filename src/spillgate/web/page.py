"""The dashboard's page: files built from ``dashboard/``, read once and answered from memory."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"
"""Where `hatch_build.py` puts the page."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads nothing but its own files, talks to nobody else, and stands in no frame."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_ASK_AGAIN = "no-cache"
_FOR_EVER = "public, max-age=31536000, immutable"  # a file whose name has a hash of what is in it
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_NOT_BUILT = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Spillgate: no page</title>
<h1>The dashboard has not been built</h1>
<p>Spillgate itself runs. Its page is made from <code>dashboard/</code>: run <code>make page</code> in the sources and
start Spillgate again. A wheel brings the page with it.
<p>Meanwhile: <a href="/health/redis-memory">/health/redis-memory</a>, <a href="/api/state">/api/state</a>,
<a href="/metrics">/metrics</a>
</html>
"""


def is_built(folder: Path = STATIC) -> bool:
    """Whether there is a page."""
    return (folder / "index.html").is_file()


def page_routes(folder: Path = STATIC) -> list[Route]:
    """Where the page in ``folder`` is answered: ``/`` and ``/assets/``. Without one, ``/`` says how to build it (503).

    Files are read and compressed now, so that a request costs neither.
    """
    if not is_built(folder):
        return [Route("/", _missing)]
    page = _File(folder / "index.html", _ASK_AGAIN)
    assets = {path.name: _File(path, _FOR_EVER) for path in (folder / "assets").iterdir() if path.is_file()}

    async def answer_page(request: Request) -> Response:
        return page.answer(request.headers)

    async def answer_asset(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        return asset.answer(request.headers) if asset else Response("no such file", 404, _HEADERS)

    return [Route("/", answer_page), Route("/assets/{name}", answer_asset)]


class _File:
    """One file as it is sent, plain or compressed."""

    def __init__(self, path: Path, keep: str) -> None:
        """Read it; ``keep`` says how long browsers may."""
        self._plain = path.read_bytes()
        self._packed = gzip.compress(self._plain, mtime=0)
        guess = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._type = _TYPES.get(path.suffix, guess)
        tag = hashlib.sha256(self._plain).hexdigest()[:16]
        self._headers = _HEADERS | {"Cache-Control": keep, "Vary": "Accept-Encoding", "ETag": f'W/"{tag}"'}

    def answer(self, asked: Mapping[str, str]) -> Response:
        """What a request with these headers gets."""
        tag = self._headers["ETag"]
        known = [one.strip() for one in asked.get("if-none-match", "").split(",")]
        if "*" in known or tag in known or tag.removeprefix("W/") in known:
            return Response(status_code=304, headers=self._headers)
        if _accepts_gzip(asked.get("accept-encoding", "")):
            headers = self._headers | {"Content-Encoding": "gzip"}
            return Response(self._packed, headers=headers, media_type=self._type)
        return Response(self._plain, headers=self._headers, media_type=self._type)


def _accepts_gzip(accepted: str) -> bool:
    for one in accepted.lower().split(","):
        coding, _, parameters = one.strip().partition(";")
        if coding.strip() in {"gzip", "*"}:
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


async def _missing(_: Request) -> Response:
    return Response(_NOT_BUILT, 503, _HEADERS | {"Cache-Control": "no-store"}, "text/html")
