"""A server that answers too late, or too slowly: a relay in front of a good one, in a process of its own."""

import asyncio

from bench.actors import Cue
from tests.servers import HOST


def relay(cue: Cue, server_port: int, port: int, delay_s: float, drip_s: float | None) -> None:
    """Pass on what is asked at once and what is answered ``delay_s`` later; with ``drip_s`` a byte at a time."""
    asyncio.run(_relay(cue, server_port, port, delay_s, drip_s))


async def _relay(cue: Cue, server_port: int, port: int, delay_s: float, drip_s: float | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(HOST, server_port)
        await asyncio.gather(
            _pass_on(reader, to_server, 0, None), _pass_on(from_server, writer, delay_s, drip_s), return_exceptions=True
        )

    async with await asyncio.start_server(serve, HOST, port):
        cue.ready.set()
        await asyncio.to_thread(cue.stop.wait)


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float, drip_s: float | None
) -> None:
    while data := await source.read(65_536):
        await asyncio.sleep(delay_s)
        if drip_s is None:
            target.write(data)
        else:
            for byte in data:
                if target.is_closing():
                    return
                target.write(bytes((byte,)))
                await asyncio.sleep(drip_s)
        await target.drain()
    target.close()
