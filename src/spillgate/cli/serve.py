"""``spillgate run``: the governor in a thread, its web surfaces and the signals in an event loop beside it."""

import asyncio
import errno
import logging
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass, replace

from spillgate.cli.options import PolicySource, nothing_may_go
from spillgate.config import Policy
from spillgate.errors import ConfigError, MissingExtra
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.governor.state import State
from spillgate.units import format_bytes

_log = logging.getLogger("spillgate")


@dataclass(frozen=True, slots=True)
class Served:
    """How to run: where the policy comes from, where HTTP is bound (None: not at all)."""

    source: PolicySource
    bind: tuple[str, int] | None
    embedded: bool = False
    dry_run: bool = False
    insecure: bool = False


def run(options: Served) -> State:
    """Govern until SIGTERM or SIGINT; return what was last seen.

    Raises:
        ConfigError: the policy, the address or the limit cannot be used.
        MissingExtra: something that was asked for is not installed.
    """
    policy = options.source.load()
    with ExitStack() as stack:
        listener = None
        if options.bind is not None:
            listener = stack.enter_context(_listen(*options.bind, insecure=options.insecure))
        source = options.source
        if options.embedded:
            source = replace(source, url=_embed(stack, policy))
            policy = source.load()
        governor = Governor(policy, dry_run=options.dry_run)
        if idle := nothing_may_go(policy):
            _log.warning("%s; name what may go in a policy file, see spillgate run --help", idle)
        asyncio.run(_supervise(governor, source, listener))
        return governor.state


def _listen(host: str, port: int, *, insecure: bool) -> socket.socket:
    try:
        from spillgate.web import app, serving  # noqa: PLC0415 - an extra that --no-web does without
    except ModuleNotFoundError as error:
        raise MissingExtra("web") from error
    if not (app.is_loopback(host) or insecure or os.environ.get("SPILLGATE_TOKEN")):
        raise ConfigError(
            f"{host} can be reached from other machines, and there is no token: set SPILLGATE_TOKEN, bind to "
            "127.0.0.1, or pass --insecure",
            source="command line",
            key="--host",
        )
    try:
        return serving.listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} of {host} is in use: choose another, or 0 for a free one"
            raise ConfigError(message, source="command line", key="--port") from error
        message = f"cannot listen on port {port} of {host}: {error.strerror}"
        raise ConfigError(message, source="command line", key="--host") from error


def _embed(stack: ExitStack, policy: Policy) -> str:
    from spillgate.server.embedded import embedded_valkey  # noqa: PLC0415 - an extra that few runs need

    limit = policy.server.limit_bytes
    if limit is None:
        message = "needs to know how much memory its server may use: pass --limit 25MB, or set limit in [server]"
        raise ConfigError(message, source="command line", key="--embedded")
    url = stack.enter_context(embedded_valkey(limit))
    _log.info("embedded Valkey of %s at %s", format_bytes(limit), url)
    return url


async def _supervise(governor: Governor, source: PolicySource, listener: socket.socket | None) -> None:
    """Until a signal, or until the governor ends by itself, which raises what ended it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, governor, source)
    jobs = [asyncio.create_task(asyncio.to_thread(governor.run))]
    if listener is not None:
        jobs.append(asyncio.create_task(_serve(governor, listener, stop)))
    for job in jobs:
        job.add_done_callback(lambda _: stop.set())
    await stop.wait()
    governor.stop()
    await asyncio.gather(*jobs)


async def _serve(governor: Governor, listener: socket.socket, stop: asyncio.Event) -> None:
    from spillgate.web import app, serving  # noqa: PLC0415 - an extra that --no-web does without

    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("health at http://%s:%d%s", shown, port, app.HEALTH_PATH)
    await serving.serve(app.create_app(governor, host=host), listener, stop)


def _reload(governor: Governor, source: PolicySource) -> None:
    """A file that cannot be used changes nothing."""
    level = governor.state.level_label
    if source.file is None:
        governor.journal.write(Event.POLICY, level, "nothing to reload: there is no policy file")
        return
    try:
        governor.reload(source.load())
    except ConfigError as error:
        governor.journal.write(Event.ERROR, level, f"policy not reloaded, the old one stays in force: {error}")
