"""The user's browser as an agent: a page to open on the device that is to be tuned."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from webbuild.bench.agent import Agent, PageChannel
from webbuild.errors import CannotServeError, InvalidOptionError
from webbuild.serve import ISOLATION, folder_app

_PAGE = Path(__file__).with_name("page.html")


@contextlib.asynccontextmanager
async def page_agent(
    runtime: Path,
    say: Callable[[str], object],
    host: str = "127.0.0.1",
    port: int = 0,
    certificate: tuple[Path, Path] | None = None,
) -> AsyncIterator[Agent]:
    """Serves a page under a secret path and waits for the first browser that opens it.

    runtime: folder of a built npm package. say: hears the URLs. certificate: PEM files of a
    certificate and its key, for https.
    Raises CannotServeError; calls raise BenchmarkFailedError once the page is gone.
    """
    token = secrets.token_urlsafe(12)
    gone = "the page went away: keep it in front, and the screen on"
    channel = PageChannel(lambda _: gone, heartbeat=30)

    async def page(_: web.Request) -> web.Response:
        text = _PAGE.read_text("utf-8")
        return web.Response(text=text, content_type="text/html", headers=ISOLATION)

    app = web.Application()
    app.router.add_get(f"/{token}/", page)
    app.router.add_get(f"/{token}/channel", channel.serve)
    app.add_subapp(f"/{token}/runtime", folder_app(runtime, any_origin=False))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(
                runner, host, port, ssl_context=_tls(certificate) if certificate else None
            ).start()
        except OSError as error:
            raise CannotServeError(
                f"cannot listen on {host}:{port} ({error.strerror or error}): give another --host "
                "or --port"
            ) from None
        scheme = "https" if certificate else "http"
        for name in _names(host):
            say(f"Open {scheme}://{name}:{runner.addresses[0][1]}/{token}/ on the device to tune")
        yield await channel.agent({})
        await channel.opened.result().close(message=b"You may close this page.")
    finally:
        await runner.cleanup()


def _tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(*certificate)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOptionError(f"--certificate, --key: {error}") from None
    return context


def _names(host: str) -> list[str]:
    """Names under which a device can reach this machine."""
    if host not in ("0.0.0.0", "::"):
        return [f"[{host}]" if ":" in host else host]
    names = ["localhost"]
    # Connecting a datagram socket sends nothing; it finds the address that leads outside.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        names.append(probe.getsockname()[0])
    return names
