"""What holds the engine: a page of a headless browser, or Node with Dawn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from aiohttp import WSMsgType, web

from webbuild.api.agent import ApiAgent
from webbuild.errors import ApiFailedError
from webbuild.hosts import LARGEST_MESSAGE, NodeWithDawn, browser_at, page_with, why_gone
from webbuild.serve import folder_app

# The first message says what became of the load, the others are answers.
_LOAD = """\
const { Engine } = await import(base + "index.js");
const { createFetch, serveRequests } = await import(base + "http.js");
const load = async () => {
  try {
    return await Engine.load(pack, options);
  } catch ({ name, message }) {
    channel.send({ failed: `${name}: ${message}` });
  }
};
const engine = await load();
if (engine) {
  serveRequests(channel, createFetch(engine));
  channel.send({ model: engine.info.model.name });
}
"""
_IN_PAGE = f"""\
const base = new URL("./runtime/", location.href).href;
const pack = new URL("./pack/", location.href).href;
const options = {{ cache: false }};
{_LOAD}"""
_IN_NODE = f"""\
const [pack] = args;
const options = {{ worker: false, gpu }};
{_LOAD}"""


class Loaded:
    """An engine that answers through `agent`; `gone` is done once it does no more."""

    def __init__(self, agent: ApiAgent) -> None:
        self.agent = agent
        self.model = ""
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._first: asyncio.Future[dict[str, str]]
        self._first = asyncio.get_running_loop().create_future()

    def receive(self, text: str | bytes) -> None:
        """A message has come."""
        if self._first.done():
            self.agent.receive(text)
        else:
            self._first.set_result(json.loads(text))

    def end(self, why: str) -> None:
        """Nothing will come any more."""
        self.agent.end(why)
        if not self._first.done():
            self._first.set_result({"failed": why})
        if not self.gone.done():
            self.gone.set_result(why)

    async def load(self) -> None:
        """Waits until the model is loaded. Raises ApiFailedError."""
        first = await self._first
        if "failed" in first:
            raise ApiFailedError(f"the model does not load: {first['failed']}")
        self.model = first["model"]


Backend = Callable[[Path, Path], AbstractAsyncContextManager[Loaded]]


@contextlib.asynccontextmanager
async def browser(runtime: Path, pack: Path) -> AsyncIterator[Loaded]:
    """A page of a headless browser. Raises BrowserNotFoundError or ApiFailedError."""
    # Others on this machine can reach the port, but must not become the page.
    secret = secrets.token_urlsafe(16)
    opened: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()

    async def channel(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=LARGEST_MESSAGE)
        await socket.prepare(request)
        loaded = Loaded(ApiAgent(socket.send_str))
        if opened.done():
            await socket.close(message=b"there is a page already")
            return socket
        opened.set_result(loaded)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                loaded.receive(message.data)
        loaded.end(why_gone(socket))
        return socket

    app = web.Application()
    app.router.add_get(f"/{secret}/", page_with(_IN_PAGE))
    app.router.add_get(f"/{secret}/channel", channel)
    for name, folder in (("runtime", runtime), ("pack", pack)):
        app.add_subapp(f"/{secret}/{name}", folder_app(folder, any_origin=False))
    async with browser_at(app, f"{secret}/", opened):
        loaded = opened.result()
        await loaded.load()
        yield loaded


@contextlib.asynccontextmanager
async def dawn(runtime: Path, pack: Path) -> AsyncIterator[Loaded]:
    """Node with Dawn (the npm package `webgpu`). Raises MissingExtraError or ApiFailedError."""
    args = [f"{pack.resolve().as_uri()}/"]
    async with NodeWithDawn(_IN_NODE, f"{runtime}/", args, option="--backend dawn") as node:
        loaded = Loaded(ApiAgent(node.send))
        node.listen(loaded.receive, loaded.end)
        await loaded.load()
        yield loaded
