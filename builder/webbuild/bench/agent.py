"""Talks to what measures: a page in a browser, or Node. Commands go out, answers come back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from webbuild.browser import open_browser
from webbuild.errors import BenchmarkFailedError, BrowserNotFoundError, MissingExtraError
from webbuild.serve import ISOLATION, folder_app

Listener = Callable[[Mapping[str, Any]], None]

_START_SECONDS = 60.0
_POLL_SECONDS = 0.5
#: One JSON message, such as a profile of a large model.
_LARGEST_MESSAGE = 256 << 20

_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<title>webbuild bench</title>
<link rel="icon" href="data:,">
<script type="module">
  import { runAgent } from "./RUNTIME/bench.js";
  const socket = new WebSocket(new URL("channel", location.href));
  socket.onopen = () =>
    runAgent({
      send: (message) => socket.send(JSON.stringify(message)),
      listen: (listener) =>
        socket.addEventListener("message", ({ data }) => listener(JSON.parse(data))),
    });
</script>
"""

_IN_NODE = """\
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
const [runtime] = process.argv.slice(1);
const places = [runtime + "package.json", process.cwd() + "/package.json"];
let dawn;
for (const place of places) {
  try { dawn ??= createRequire(place).resolve("webgpu"); } catch {}
}
if (!dawn) process.exit(44);
const { create, globals } = await import(pathToFileURL(dawn).href);
Object.assign(globalThis, globals);
// Kept for good: Dawn ends the process when its instance is collected.
const gpu = (globalThis.gpu = create([]));
const { runAgent } = await import(pathToFileURL(runtime).href + "bench.js");
runAgent({
  send: (message) => process.stdout.write(JSON.stringify(message) + "\\n"),
  listen: (listener) =>
    createInterface({ input: process.stdin })
      .on("line", (line) => listener(JSON.parse(line)))
      .on("close", () => process.exit(0)),
}, gpu);
"""
_NO_DAWN = 44


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
        await self._send(json.dumps({"id": number, "method": method, "args": args}))
        return await future

    def url(self, folder: Path) -> str:
        """How the agent names a folder; with a trailing slash."""
        return self._urls[folder]

    def receive(self, text: str | bytes) -> None:
        """A message has come."""
        message = json.loads(text)
        future, listener = self._waiting[message["id"]]
        if "event" in message:
            if listener:
                listener(message["event"])
            return
        del self._waiting[message["id"]]
        if "error" in message:
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
        self._waiting.clear()


class PageChannel:
    """The WebSocket of a page that measures: the first page becomes an agent, others are sent away.

    gone: what calls raise once the page is gone. heartbeat: seconds within which it must answer;
    for a page that no process of ours watches.
    """

    def __init__(self, gone: str, heartbeat: float | None = None) -> None:
        self._gone = gone
        self._heartbeat = heartbeat
        self._agent: RemoteAgent | None = None
        self.opened: asyncio.Future[web.WebSocketResponse]
        self.opened = asyncio.get_running_loop().create_future()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Handles the route of the channel."""
        socket = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE, heartbeat=self._heartbeat)
        await socket.prepare(request)
        if self.opened.done():
            await socket.close(message=b"Another page is being measured.")
            return socket
        self.opened.set_result(socket)
        async for message in socket:
            if message.type == WSMsgType.TEXT and self._agent:
                self._agent.receive(message.data)
        if self._agent:
            self._agent.end(self._gone)
        return socket

    async def agent(self, urls: Mapping[Path, str]) -> RemoteAgent:
        """The first page, once there is one. urls: how it names folders."""
        socket = await self.opened
        self._agent = RemoteAgent(socket.send_str, urls)
        return self._agent


@contextlib.asynccontextmanager
async def chromium_agent(runtime: Path, folders: list[Path]) -> AsyncIterator[Agent]:
    """A page of a headless browser. Raises BrowserNotFoundError.

    runtime: the build whose agent runs; one of `folders`, which the page can read.
    """
    names = {folder: f"folder{number}" for number, folder in enumerate(dict.fromkeys(folders))}
    channel = PageChannel("the page went away: its browser crashed, or ran out of memory")

    async def page(_: web.Request) -> web.Response:
        html = _PAGE.replace("RUNTIME", names[runtime])
        return web.Response(text=html, content_type="text/html", headers=ISOLATION)

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/channel", channel.serve)
    for folder, name in names.items():
        app.add_subapp(f"/{name}", folder_app(folder, any_origin=False))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        with open_browser(origin) as process:
            await _first_page(channel.opened, process)
            urls = {folder: f"{origin}{name}/" for folder, name in names.items()}
            yield await channel.agent(urls)
    finally:
        await runner.cleanup()


async def _first_page(opened: asyncio.Future[Any], process: subprocess.Popen[bytes]) -> None:
    """Waits for a page. Raises BrowserNotFoundError if the browser ends, or opens none."""
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        done, _ = await asyncio.wait([opened], timeout=_POLL_SECONDS)
        if done or process.poll() is not None:
            break
    if opened.done():
        return
    code = process.poll()
    state = "does not open a page" if code is None else f"ended with status {code}"
    raise BrowserNotFoundError(f"the browser {state}: name another one in WEBBUILD_CHROMIUM")


@contextlib.asynccontextmanager
async def dawn_agent(runtime: Path, folders: list[Path]) -> AsyncIterator[Agent]:
    """Node with Dawn (the npm package `webgpu`). Raises MissingExtraError."""
    node = shutil.which("node")
    if node is None:
        raise MissingExtraError("--in dawn needs Node 20 or newer: install it")
    process = await asyncio.create_subprocess_exec(
        node,
        "--input-type=module",
        "-e",
        _IN_NODE,
        "--",
        f"{runtime}/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
        limit=_LARGEST_MESSAGE,
        start_new_session=sys.platform != "win32",
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin and stdout

    async def send(text: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(f"{text}\n".encode())
            await stdin.drain()

    agent = RemoteAgent(send, {folder: f"{folder.resolve().as_uri()}/" for folder in folders})

    async def listen() -> None:
        async for line in stdout:
            if line.startswith(b'{"id"'):
                agent.receive(line)
        if await process.wait() == _NO_DAWN:
            agent.end("Node finds no Dawn: npm install webgpu, beside the runtime or here")
        agent.end("Node ended")

    listening = asyncio.create_task(listen())
    try:
        yield agent
    finally:
        listening.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
