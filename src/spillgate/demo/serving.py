"""The dashboard beside a governor in a thread."""

import asyncio
import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Generator

from spillgate.checkup import Checkup
from spillgate.errors import ConfigError
from spillgate.governor.history import History
from spillgate.governor.loop import Governor
from spillgate.web.sources import Sources, token_in

_FIRST_CHECKUP_S = 2.0


@contextlib.contextmanager
def endpoint(governor: Governor, history: History, host: str, port: int) -> Generator[str]:
    """Serve what is known of ``governor``, on another port where ``port`` cannot be had; yield what to tell about it.

    Raises:
        ConfigError: ``host`` is not an address of this machine that only this machine can reach.
    """
    try:
        from spillgate.web import app, serving  # noqa: PLC0415 - an extra that the demo does without
    except ModuleNotFoundError:
        yield "no dashboard: that takes pip install 'spillgate[web]'"
        return
    if not app.is_loopback(host):
        message = f"the demo is for this machine alone: give a loopback address such as 127.0.0.1, not {host}"
        raise ConfigError(message, source="command line", key="--host")
    token = token_in(os.environ) or secrets.token_urlsafe(6)
    listener, instead = _listen(host, port)
    with listener, Checkup(governor, first_s=_FIRST_CHECKUP_S) as checkup:
        sources = Sources(governor, history, checkup, token=token)
        stop, loop = asyncio.Event(), asyncio.new_event_loop()
        serve = serving.serve(app.create_app(sources, host=host), listener, stop)
        thread = threading.Thread(target=loop.run_until_complete, args=(serve,), name="spillgate-demo-web", daemon=True)
        address = _address(listener)
        thread.start()
        try:
            yield f"dashboard http://{address}/  token {token}{instead}"
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket, and what to tell of another that could not be had."""
    from spillgate.web import serving  # noqa: PLC0415 - an extra that the demo does without

    instead = ""
    for candidate in (port, 0):
        try:
            return serving.listen(host, candidate), instead
        except OSError as error:
            instead = f" (instead of port {port}: {os.strerror(error.errno or 0)})"
    raise ConfigError(f"cannot listen on {host}{instead}", source="command line", key="--host")


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
