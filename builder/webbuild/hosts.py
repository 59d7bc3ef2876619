"""Where the built runtime runs for the builder: a page of a headless browser, or Node with Dawn.

At both a script gets `channel`, an object with `send(message)` and `listen(listener)`; the other
end of that stream of JSON messages is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from webbuild.browser import open_browser
from webbuild.errors import BrowserNotFoundError, MissingExtraError
from webbuild.serve import ISOLATION

#: Bytes of one message, such as a profile of a large model.
LARGEST_MESSAGE = 256 << 20
#: Seconds in which a browser must open its page.
_START_SECONDS = 60.0
_POLL_SECONDS = 0.5

# What comes before somebody listens is kept.
_CHANNEL = """\
const early = [];
let hear = (message) => early.push(message);
const listen = (listener) => {
  hear = listener;
  early.splice(0).forEach(listener);
};
"""
_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<title>webbuild</title>
<link rel="icon" href="data:,">
<script type="module">
  const socket = new WebSocket(new URL("channel", location.href));
  CHANNEL
  socket.onmessage = ({ data }) => hear(JSON.parse(data));
  await new Promise((resolve) => (socket.onopen = resolve));
  const channel = { send: (message) => socket.send(JSON.stringify(message)), listen };
  try {
    SCRIPT
  } catch (error) {
    console.error(error);
    socket.close(FAILED);
  }
</script>
"""
#: Closes the channel of a page whose script fails, of those that are an application's own.
_FAILED = 4000

_IN_NODE = f"""\
import {{ createRequire }} from "node:module";
import {{ createInterface }} from "node:readline";
import {{ pathToFileURL }} from "node:url";
const [runtime, ...args] = process.argv.slice(1);
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
const base = pathToFileURL(runtime).href;
{_CHANNEL}
createInterface({{ input: process.stdin }})
  .on("line", (line) => hear(JSON.parse(line)))
  .on("close", () => process.exit(0));
const channel = {{
  send: (message) => process.stdout.write(JSON.stringify(message) + "\\n"),
  listen,
}};
"""
_NO_DAWN = 44


def page_with(script: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler of a page that runs `script`, a module's body; `channel` beside it is its own."""
    html = _PAGE.replace("CHANNEL", _CHANNEL).replace("FAILED", str(_FAILED))
    html = html.replace("SCRIPT", script)

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html", headers=ISOLATION)

    return page


def why_gone(channel: web.WebSocketResponse) -> str:
    """What to tell of a page of `page_with` whose channel has closed."""
    if channel.close_code == _FAILED:
        return "the runtime does not start in the browser: build it again, or update the browser"
    return "the page went away: its browser crashed, or ran out of memory"


@contextlib.asynccontextmanager
async def browser_at(
    app: web.Application, path: str, opened: asyncio.Future[Any]
) -> AsyncIterator[str]:
    """Serves an application on a port of its own and shows a path of it in a headless browser.

    opened: done once the page has opened its channel. Yields the application's origin, with a
    trailing slash. Raises BrowserNotFoundError if the browser ends before, or opens none.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        with open_browser(origin + path) as process:
            await _wait_for_page(opened, process)
            yield origin
    finally:
        await runner.cleanup()


async def _wait_for_page(opened: asyncio.Future[Any], process: subprocess.Popen[bytes]) -> None:
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        done, _ = await asyncio.wait([opened], timeout=_POLL_SECONDS)
        if done or process.poll() is not None:
            break
    if opened.done():
        return
    code = process.poll()
    state = "does not open a page" if code is None else f"ended with status {code}"
    raise BrowserNotFoundError(f"the browser {state}: name another one in WEBBUILD_CHROMIUM")


class NodeWithDawn:
    """Node with Dawn (the npm package `webgpu`), running a script; a context.

    script: a module's body, which finds `channel`, `gpu`, `base` (URL of the runtime's folder) and
    `args`. runtime: folder of the built npm package, with a trailing slash. option: of the command,
    named when there is no Node. Entering raises MissingExtraError.
    """

    def __init__(self, script: str, runtime: str, args: Sequence[str] = (), *, option: str) -> None:
        self._source = _IN_NODE + script
        self._args = (runtime, *args)
        self._option = option

    async def __aenter__(self) -> NodeWithDawn:
        node = shutil.which("node")
        if node is None:
            raise MissingExtraError(f"{self._option} needs Node 20 or newer: install it")
        self._process = await asyncio.create_subprocess_exec(
            node,
            *("--input-type=module", "-e", self._source, "--", *self._args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
            limit=LARGEST_MESSAGE,
            start_new_session=sys.platform != "win32",  # Ctrl-C is ours to handle
        )
        self._listening: asyncio.Task[None] | None = None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening:
            self._listening.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def send(self, text: str) -> None:
        """Sends a message. Nothing happens if Node has ended: `end` tells."""
        stdin = self._process.stdin
        assert stdin
        with contextlib.suppress(ConnectionError):
            stdin.write(f"{text}\n".encode())
            await stdin.drain()

    def listen(self, receive: Callable[[bytes], object], end: Callable[[str], object]) -> None:
        """Has each message told to `receive`, and why nothing will come any more to `end`."""
        stdout = self._process.stdout
        assert stdout

        async def listen() -> None:
            async for line in stdout:
                if line.startswith(b"{"):  # drivers print too
                    receive(line)
            code = await self._process.wait()
            no_dawn = "Node finds no Dawn: npm install webgpu, beside the runtime or here"
            end(no_dawn if code == _NO_DAWN else f"Node ended with status {code}")

        self._listening = asyncio.create_task(listen())
