"""`webbuild serve`: a static server with the headers that packs and pages want.

Every answer has COOP and COEP, which give a page SharedArrayBuffer (threads); a pack's also have
CORS, so that any page may load it. Files whose name holds a content hash are cached for good, the
rest is revalidated by ETag. Ranges (and If-Range) are answered from the plain file; without a
range, text goes out compressed: a .br or .gz file beside it, or gzip made once and kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import re
import socket
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from webbuild.errors import CannotServeError
from webbuild.relay import Relay

# Python's own table depends on the system's.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".wgsl": "text/plain; charset=utf-8",
    ".jinja": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
_COMPRESSIBLE = re.compile(r"text/|application/(json|manifest|wasm)|image/svg")
_NOT_WORTH_COMPRESSING = 1024

# name-3fa9c01b.js as hashing tools write it (hex), and name-Q7ZK2M4A.js (esbuild's base 32).
_HASHED_NAME = re.compile(r"[-.]([0-9a-f]{8,64}|[0-9A-Z]{8})\.")

#: What gives a page threads (SharedArrayBuffer) and precise clocks.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
}
_SAME_ORIGIN = {"Cross-Origin-Resource-Policy": "same-origin"}
_ANY_ORIGIN = {
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Range, If-Range, If-None-Match",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "86400",
}


def make_app(folder: Path, *, relay: Relay | None = None) -> web.Application:
    """The server of one folder: a pack, or a site (which may hold packs further down).

    relay: lets engines meet at /relay/TOKEN. Raises CannotServeError if there is nothing to serve.
    """
    is_pack = (folder / "pack.json").is_file()
    if not is_pack and not (folder / "index.html").is_file():
        raise CannotServeError(
            f"{folder} has neither pack.json nor index.html: give a pack (`webbuild pack MODEL` "
            "makes one) or a built site"
        )
    return folder_app(folder, any_origin=is_pack, relay=relay)


def folder_app(folder: Path, *, any_origin: bool, relay: Relay | None = None) -> web.Application:
    """The server of one folder, whatever it holds; also as a part of another server.

    any_origin: pages of other origins may read it.
    """
    headers = ISOLATION | (_ANY_ORIGIN if any_origin else _SAME_ORIGIN)

    async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)

    async def preflight(_: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT)

    app = web.Application()
    app.on_response_prepare.append(add_headers)
    if relay:
        app.router.add_get("/relay/{token}", relay.join)
    app.router.add_get("/{path:.*}", _Folder(folder.resolve()).get)
    if any_origin:
        app.router.add_route("OPTIONS", "/{path:.*}", preflight)
    return app


def serve_folder(
    folder: Path, host: str, port: int, say: Callable[[str], None], *, relay: bool = False
) -> None:
    """Serves until Ctrl-C; `say` gets the URL. Raises CannotServeError.

    relay: lets engines meet at /relay/TOKEN.
    """
    app = make_app(folder, relay=Relay() if relay else None)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, folder, host, port, say))


async def _serve(
    app: web.Application, folder: Path, host: str, port: int, say: Callable[[str], None]
) -> None:
    # Rooms of the relay, and slow downloads, are not waited for.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    async with listening(runner, host, port) as url:
        say(f"Serving {folder} at {url}  (Ctrl-C stops)")
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def listening(runner: web.AppRunner, host: str, port: int) -> AsyncIterator[str]:
    """Serves while the context lasts; gives the URL. Raises CannotServeError."""
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, socket.gaierror) as error:
            raise _cannot_listen(host, port, error) from error
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def _cannot_listen(host: str, port: int, error: OSError) -> CannotServeError:
    if error.errno == errno.EADDRINUSE:
        return CannotServeError(
            f"port {port} is taken: give another --port, or --port 0 for any free one"
        )
    if error.errno == errno.EACCES:
        return CannotServeError(f"port {port} needs rights that you lack: give one above 1023")
    return CannotServeError(
        f"cannot listen on {host}: it is no address of this machine; "
        "127.0.0.1 serves this machine, 0.0.0.0 the whole network"
    )


class _Folder:
    """Answers GET and HEAD from the files below `root` (an absolute path without links)."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def get(self, request: web.Request) -> web.StreamResponse:
        path = self._find(request.match_info["path"])
        if path.is_dir():
            if not request.path.endswith("/"):
                raise web.HTTPMovedPermanently(f"{request.rel_url.raw_path}/")
            path /= "index.html"
            if not path.is_file() and path.parent == self._root:
                return web.Response(text=_pack_page(request))
        if not path.is_file():
            raise web.HTTPNotFound
        content_type = _TYPES.get(path.suffix, "application/octet-stream")
        headers = {"Content-Type": content_type, "Cache-Control": _cache_control(path)}
        if not _COMPRESSIBLE.match(content_type):
            return _File(path, headers=headers)
        headers["Vary"] = "Accept-Encoding"
        if not _wants_gzip(request) or _has_compressed(path):
            return _File(path, headers=headers)
        return await _gzipped(request, path, headers)

    def _find(self, relative: str) -> Path:
        """The file or folder meant. Never one outside of the root, nor a hidden one."""
        parts = [part for part in relative.split("/") if part]
        if any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            raise web.HTTPNotFound
        try:
            path = self._root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError):  # not there, too long, or links in a circle
            raise web.HTTPNotFound from None
        if not path.is_relative_to(self._root):
            raise web.HTTPNotFound
        return path


class _File(web.FileResponse):
    """aiohttp's file response, which knows If-Range dates, made to know If-Range ETags."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        headers = request.headers.copy()
        if "Range" in headers:
            headers.pop("Accept-Encoding", None)  # offsets count the plain file's bytes
            condition = headers.get("If-Range", "")
            if '"' in condition:
                del headers["If-Range"]
                if condition != f'"{_etag(self._path)}"':
                    del headers["Range"]
        return await super().prepare(request.clone(headers=headers))


async def _gzipped(request: web.Request, path: Path, headers: dict[str, str]) -> web.Response:
    stat = path.stat()
    etag = f"{_etag(path)}-gzip"
    matching = request.if_none_match or ()
    if any(known.value in (etag, "*") for known in matching):
        response = web.Response(status=304, headers=headers)
    else:
        body = await asyncio.to_thread(_compress, path, stat.st_mtime_ns, stat.st_size)
        response = web.Response(body=body, headers={**headers, "Content-Encoding": "gzip"})
    response.etag = etag
    return response


@lru_cache(maxsize=64)
def _compress(path: Path, _mtime_ns: int, _nbytes: int) -> bytes:
    """The file in gzip; time and size are in the arguments so that a changed file is read anew."""
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)


def _etag(path: Path) -> str:
    """As aiohttp's FileResponse computes it."""
    stat = path.stat()
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


def _wants_gzip(request: web.Request) -> bool:
    accepted = request.headers.get("Accept-Encoding", "").lower()
    return "gzip" in accepted and "Range" not in request.headers


def _has_compressed(path: Path) -> bool:
    """Whether aiohttp will find a compressed file, or compressing is not worth it."""
    return path.stat().st_size < _NOT_WORTH_COMPRESSING or any(
        path.with_name(path.name + suffix).is_file() for suffix in (".br", ".gz")
    )


def _cache_control(path: Path) -> str:
    if _HASHED_NAME.search(path.name):
        return "public, max-age=31536000, immutable"
    return "no-cache"


def _pack_page(request: web.Request) -> str:
    url = request.url.with_path("/").with_query(None)
    return (
        "This is a webbuild pack. Load it in a page with the npm package `webbuild`:\n\n"
        'import { Engine } from "webbuild";\n'
        f'const engine = await Engine.load("{url}");\n'
    )
