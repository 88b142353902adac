"""``spillgate run``: the governor in a thread, its web surfaces and the signals in an event loop beside it."""

import asyncio
import errno
import logging
import os
import signal
import socket
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from spillgate.alerts.alerts import Alerts
from spillgate.alerts.receivers import receivers_of
from spillgate.checkup import Checkup
from spillgate.cli.options import PolicySource, nothing_may_go
from spillgate.config import Policy
from spillgate.errors import ConfigError, MissingExtra
from spillgate.foresight.steering import Adviser
from spillgate.governor.history import History
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.governor.state import State
from spillgate.units import format_bytes
from spillgate.web.sources import Sources, token_in

_log = logging.getLogger("spillgate")


@dataclass(frozen=True, slots=True)
class Served:
    """How to run.

    ``source`` is where the policy comes from, ``bind`` where HTTP is served (None: not at all), ``history`` the file in
    which readings are kept (None: in memory).
    """

    source: PolicySource
    bind: tuple[str, int] | None
    embedded: bool = False
    dry_run: bool = False
    insecure: bool = False
    history: Path | None = None
    exporter_names: bool = False
    otlp: bool = False


def run(options: Served) -> State:
    """Govern until SIGTERM or SIGINT; return what was last seen.

    Raises:
        ConfigError: the policy, the address, the history or the limit cannot be used.
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
        sources = _bring_up(stack, policy, options)
        if idle := nothing_may_go(policy):
            _log.warning("%s; name what may go in a policy file, see spillgate run --help", idle)
        if options.otlp:
            stack.enter_context(_export(sources))
        asyncio.run(_supervise(sources, source, listener, options))
        return sources.governor.state


def _bring_up(stack: ExitStack, policy: Policy, options: Served) -> Sources:
    """The governor, which is not started yet, and all that stands beside it; the history is the last to end."""
    history = stack.enter_context(History(options.history))
    governor = Governor(policy, dry_run=options.dry_run, history=history)
    checkup = stack.enter_context(Checkup(governor))
    stack.enter_context(Adviser(governor, checkup))
    alerts = stack.enter_context(Alerts(policy, governor, history, checkup))
    return Sources(governor, history, checkup, alerts, token_in(os.environ))


def _export(sources: Sources) -> AbstractContextManager[object]:
    try:
        from spillgate.integrations.otlp import export  # noqa: PLC0415 - an extra that few runs need
    except ModuleNotFoundError as error:
        raise MissingExtra("otlp") from error
    return export(sources)


def _listen(host: str, port: int, *, insecure: bool) -> socket.socket:
    try:
        from spillgate.web import app, serving  # noqa: PLC0415 - an extra that --no-web does without
    except ModuleNotFoundError as error:
        raise MissingExtra("web") from error
    if not (app.is_loopback(host) or insecure or token_in(os.environ)):
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


async def _supervise(sources: Sources, source: PolicySource, listener: socket.socket | None, options: Served) -> None:
    """Until a signal, or until the governor ends by itself, which raises what ended it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, sources, source)
    governor = sources.governor
    jobs = [asyncio.create_task(asyncio.to_thread(governor.run))]
    if listener is not None:
        jobs.append(asyncio.create_task(_serve(sources, listener, stop, options)))
    for job in jobs:
        job.add_done_callback(lambda _: stop.set())
    await stop.wait()
    governor.stop()
    await asyncio.gather(*jobs)


async def _serve(sources: Sources, listener: socket.socket, stop: asyncio.Event, options: Served) -> None:
    from spillgate.web import app, serving  # noqa: PLC0415 - an extra that --no-web does without
    from spillgate.web.health import HEALTH_PATH  # noqa: PLC0415 - the same

    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("dashboard at http://%s:%d/, health at http://%s:%d%s", shown, port, shown, port, HEALTH_PATH)
    application = app.create_app(sources, host=host, exporter_names=options.exporter_names)
    await serving.serve(application, listener, stop)


def _reload(sources: Sources, source: PolicySource) -> None:
    """A file that cannot be used changes nothing."""
    governor = sources.governor
    level = governor.state.level_label
    if source.file is None:
        governor.journal.write(Event.POLICY, level, "nothing to reload: there is no policy file")
        return
    try:
        policy = source.load()
        _check_receivers(policy, governor)
        governor.reload(policy)
        if sources.alerts is not None:
            sources.alerts.reload(policy)
    except ConfigError as error:
        governor.journal.write(Event.ERROR, level, f"policy not reloaded, the old one stays in force: {error}")


def _check_receivers(policy: Policy, governor: Governor) -> None:
    """Nothing of a policy is to count whose alerts could not be sent.

    Raises:
        ConfigError: a receiver cannot be used.
    """
    try:
        receivers_of(policy, governor.clock)
    except MissingExtra as error:
        raise ConfigError(str(error), key="alerts.notify") from error
