"""What holds the engine: a page of a headless browser, or Node with Dawn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from aiohttp import WSMsgType, web

from webbuild.api.agent import ApiAgent
from webbuild.browser import open_browser
from webbuild.errors import ApiFailedError, MissingExtraError
from webbuild.serve import ISOLATION, folder_app

#: Seconds in which a browser must open its page.
_START_SECONDS = 60.0
_POLL_SECONDS = 0.5
_LARGEST_MESSAGE = 64 << 20

# The first message says what became of the load, the others are answers.
_LOAD = """\
const run = async (channel, pack, options) => {
  let engine;
  try {
    engine = await Engine.load(pack, options);
  } catch ({ name, message }) {
    return channel.send({ failed: `${name}: ${message}` });
  }
  serveRequests(channel, createFetch(engine));
  channel.send({ model: engine.info.model.name });
};
"""

_PAGE = f"""\
<!doctype html>
<meta charset="utf-8">
<title>webbuild serve --api</title>
<link rel="icon" href="data:,">
<script type="module">
  import {{ Engine }} from "./runtime/index.js";
  import {{ createFetch, serveRequests }} from "./runtime/http.js";
  {_LOAD}
  const socket = new WebSocket(new URL("channel", location.href));
  socket.onopen = () =>
    run({{
      send: (message) => socket.send(JSON.stringify(message)),
      listen: (listener) =>
        socket.addEventListener("message", ({{ data }}) => listener(JSON.parse(data))),
    }}, new URL("./pack/", location.href).href, {{ cache: false }});
</script>
"""

_IN_NODE = f"""\
import {{ createRequire }} from "node:module";
import {{ createInterface }} from "node:readline";
import {{ pathToFileURL }} from "node:url";
const [runtime, pack] = process.argv.slice(1);
const places = [runtime + "package.json", process.cwd() + "/package.json"];
let dawn;
for (const place of places) {{
  try {{ dawn ??= createRequire(place).resolve("webgpu"); }} catch {{}}
}}
if (!dawn) process.exit(44);
const {{ create, globals }} = await import(pathToFileURL(dawn).href);
Object.assign(globalThis, globals);
// Kept for good: Dawn ends the process when its instance is collected.
const gpu = (globalThis.gpu = create([]));
const {{ Engine }} = await import(pathToFileURL(runtime).href + "index.js");
const {{ createFetch, serveRequests }} = await import(pathToFileURL(runtime).href + "http.js");
{_LOAD}
const lines = createInterface({{ input: process.stdin }}).on("close", () => process.exit(0));
await run({{
  send: (message) => process.stdout.write(JSON.stringify(message) + "\\n"),
  listen: (listener) => lines.on("line", (line) => listener(JSON.parse(line))),
}}, pack, {{ worker: false, gpu }});
"""
_NO_DAWN = 44


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

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html", headers=ISOLATION)

    async def channel(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE)
        await socket.prepare(request)
        loaded = Loaded(ApiAgent(socket.send_str))
        if opened.done():
            await socket.close(message=b"there is a page already")
            return socket
        opened.set_result(loaded)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                loaded.receive(message.data)
        loaded.end("the page went away: its browser crashed, or ran out of memory")
        return socket

    app = web.Application()
    app.router.add_get(f"/{secret}/", page)
    app.router.add_get(f"/{secret}/channel", channel)
    for name, folder in (("runtime", runtime), ("pack", pack)):
        app.add_subapp(f"/{secret}/{name}", folder_app(folder, any_origin=False))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        with open_browser(f"http://127.0.0.1:{runner.addresses[0][1]}/{secret}/") as process:
            loaded = await _first_page(opened, process)
            await loaded.load()
            yield loaded
    finally:
        await runner.cleanup()


async def _first_page(opened: asyncio.Future[Loaded], process: subprocess.Popen[bytes]) -> Loaded:
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        done, _ = await asyncio.wait([opened], timeout=_POLL_SECONDS)
        if done:
            return opened.result()
        if process.poll() is not None:
            break
    code = process.poll()
    state = "does not open a page" if code is None else f"ended with status {code}"
    raise ApiFailedError(f"the browser {state}: name another one in WEBBUILD_CHROMIUM")


@contextlib.asynccontextmanager
async def dawn(runtime: Path, pack: Path) -> AsyncIterator[Loaded]:
    """Node with Dawn (the npm package `webgpu`). Raises MissingExtraError or ApiFailedError."""
    node = shutil.which("node")
    if node is None:
        raise MissingExtraError("--backend dawn needs Node 20 or newer: install it")
    process = await asyncio.create_subprocess_exec(
        node,
        "--input-type=module",
        "-e",
        _IN_NODE,
        "--",
        f"{runtime}/",
        f"{pack.resolve().as_uri()}/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
        limit=_LARGEST_MESSAGE,
        start_new_session=sys.platform != "win32",  # Ctrl-C is ours to handle
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin and stdout

    async def send(text: str) -> None:
        stdin.write(f"{text}\n".encode())
        await stdin.drain()

    loaded = Loaded(ApiAgent(send))

    async def listen() -> None:
        async for line in stdout:
            if line.startswith(b"{"):
                loaded.receive(line)
        code = await process.wait()
        loaded.end(
            "Node finds no Dawn: npm install webgpu, beside the runtime or here"
            if code == _NO_DAWN
            else f"Node ended with status {code}"
        )

    listening = asyncio.create_task(listen())
    try:
        await loaded.load()
        yield loaded
    finally:
        listening.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
