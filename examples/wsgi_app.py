"""A synchronous application, here plain WSGI, that governs its Redis from a background thread.

Start it::

    REDIS_URL=redis://127.0.0.1:6379/0 python examples/wsgi_app.py

and ask ``http://127.0.0.1:8000/health/redis-memory``. Where a server such as gunicorn forks workers, start the governor
after the fork and in one worker, or let ``spillgate run`` do the work beside them.
"""

import json
import os
import signal
import threading
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from spillgate import Governor, load_policy
from spillgate.web import views

POLICY = Path(__file__).with_name("ceo-platform.toml")


def application(governor: Governor) -> WSGIApplication:
    """An application whose only page tells how the server's memory is."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health/redis-memory":
            start_response("404 Not Found", [])
            return []
        code, document = views.health(governor.state)
        start_response(
            f"{code} {HTTPStatus(code).phrase}", [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        )
        return [json.dumps(document).encode()]

    return answer


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; the governor runs as long as the ``with`` block."""
    policy = load_policy(POLICY, env=os.environ, flags={})
    port = int(os.environ.get("PORT", "8000"))
    with Governor(policy) as governor, make_server("127.0.0.1", port, application(governor)) as server:

        def stop(_number: int, _frame: object) -> None:
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        server.serve_forever()


if __name__ == "__main__":
    main()
