"""Talks to what measures: a page in a browser, or Node. Commands go out, answers come back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from webbuild.errors import BenchmarkFailedError
from webbuild.hosts import LARGEST_MESSAGE, NodeWithDawn, browser_at, page_with, why_gone
from webbuild.serve import folder_app

Listener = Callable[[Mapping[str, Any]], None]

_IN_PAGE = """\
const { runAgent } = await import(new URL("./RUNTIME/bench.js", location.href).href);
runAgent(channel);
"""
_IN_NODE = """\
const { runAgent } = await import(base + "bench.js");
runAgent(channel, gpu);
"""


class Agent(Protocol):
    """Measures. Paths in its arguments are what `url` makes of folders."""

    async def call(self, method: str, args: Any, listener: Listener | None = None) -> Any:
        """The result of one command. Raises BenchmarkFailedError."""

    def url(self, folder: Path) -> str:
        """How the agent names a folder; with a trailing slash."""


class RemoteAgent:
    """An agent at the other end of a stream of JSON messages."""

    def __init__(self, send: Callable[[str], Awaitable[None]], urls: Mapping[Path, str]) -> None:
        self._send = send
        self._urls = urls
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Listener | None]] = {}
        self._ended: str | None = None

    async def call(self, method: str, args: Any, listener: Listener | None = None) -> Any:
        """The result of one command. Raises BenchmarkFailedError."""
        if self._ended is not None:
            raise BenchmarkFailedError(self._ended)
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = (future, listener)
        try:
            with contextlib.suppress(ConnectionError):  # `end` will be called
                await self._send(json.dumps({"id": number, "method": method, "args": args}))
            return await future
        finally:
            self._waiting.pop(number, None)

    def url(self, folder: Path) -> str:
        """How the agent names a folder; with a trailing slash."""
        return self._urls[folder]

    def receive(self, text: str | bytes) -> None:
        """A message has come."""
        message = json.loads(text)
        future, listener = self._waiting.get(message["id"], (None, None))
        if future is None or future.done():
            return  # nobody waits any more
        if "event" in message:
            if listener:
                listener(message["event"])
        elif "error" in message:
            error = message["error"]
            future.set_exception(BenchmarkFailedError(f"{error['name']}: {error['message']}"))
        else:
            future.set_result(message["result"])

    def end(self, why: str) -> None:
        """Nothing will come any more."""
        self._ended = why
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(BenchmarkFailedError(why))


class PageChannel:
    """The WebSocket of a page that measures: the first page becomes an agent, others are sent away.

    gone: what calls say once the page's channel has closed. heartbeat: seconds within which it
    must answer; for a page that no process of ours watches.
    """

    def __init__(
        self, gone: Callable[[web.WebSocketResponse], str], heartbeat: float | None = None
    ) -> None:
        self._gone = gone
        self._heartbeat = heartbeat
        self._agent: RemoteAgent | None = None
        self._closed = False
        self.opened: asyncio.Future[web.WebSocketResponse]
        self.opened = asyncio.get_running_loop().create_future()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Handles the route of the channel."""
        socket = web.WebSocketResponse(max_msg_size=LARGEST_MESSAGE, heartbeat=self._heartbeat)
        await socket.prepare(request)
        if self.opened.done():
            await socket.close(message=b"Another page is being measured.")
            return socket
        self.opened.set_result(socket)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT and self._agent:
                    self._agent.receive(message.data)
        finally:
            self._closed = True
            if self._agent:
                self._agent.end(self._gone(socket))
        return socket

    async def agent(self, urls: Mapping[Path, str]) -> RemoteAgent:
        """The first page, once there is one. urls: how it names folders."""
        socket = await self.opened
        self._agent = RemoteAgent(socket.send_str, urls)
        if self._closed:
            self._agent.end(self._gone(socket))
        return self._agent


@contextlib.asynccontextmanager
async def chromium_agent(runtime: Path, folders: list[Path]) -> AsyncIterator[Agent]:
    """A page of a headless browser. Raises BrowserNotFoundError.

    runtime: the build whose agent runs; one of `folders`, which the page can read.
    """
    names = {folder: f"folder{number}" for number, folder in enumerate(dict.fromkeys(folders))}
    channel = PageChannel(why_gone)

    app = web.Application()
    app.router.add_get("/", page_with(_IN_PAGE.replace("RUNTIME", names[runtime])))
    app.router.add_get("/channel", channel.serve)
    for folder, name in names.items():
        app.add_subapp(f"/{name}", folder_app(folder, any_origin=False))
    async with browser_at(app, "", channel.opened) as origin:
        yield await channel.agent({folder: f"{origin}{name}/" for folder, name in names.items()})


@contextlib.asynccontextmanager
async def dawn_agent(runtime: Path, folders: list[Path]) -> AsyncIterator[Agent]:
    """Node with Dawn (the npm package `webgpu`). Raises MissingExtraError."""
    urls = {folder: f"{folder.resolve().as_uri()}/" for folder in folders}
    async with NodeWithDawn(_IN_NODE, f"{runtime}/", option="--in dawn") as node:
        agent = RemoteAgent(node.send, urls)
        node.listen(agent.receive, agent.end)
        yield agent
