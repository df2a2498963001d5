"""The operator's own HTTP port: /livez, /readyz, /metrics."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from catfish_operator.controller.health import Health


@asynccontextmanager
async def serve(*, host: str, port: int, health: Health, metrics: Callable[[], bytes]) -> AsyncIterator[int]:
    """Serves the probes while the context lasts; gives the port that was bound."""

    async def probe(trouble: str | None) -> web.Response:
        return web.Response(status=503 if trouble else 200, text=(trouble or "ok") + "\n")

    async def livez(_: web.Request) -> web.Response:
        return await probe(health.not_alive())

    async def readyz(_: web.Request) -> web.Response:
        return await probe(health.not_ready())

    async def text(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", text)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
