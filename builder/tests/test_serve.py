"""The static server: headers, ranges, caching, compression, and what it must not give away."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from webbuild.errors import CannotServeError
from webbuild.serve import make_app, serve_folder

SHARD = bytes(range(256)) * 64
TEXT = '{"words": "' + "token " * 2000 + '"}'


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "pack.json").write_text("{}")
    (folder / "params_shard_0.bin").write_bytes(SHARD)
    (folder / "tokenizer.json").write_text(TEXT)
    (tmp_path / "secret.txt").write_text("not served")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / ".hidden").write_text("not served")
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "docs").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>home")
    (folder / "docs" / "index.html").write_text("docs")
    (folder / "app-3fa9c01b.js").write_text("export {};")
    (folder / "core.wasm").write_bytes(b"\0asm\1\0\0\0")
    (folder / "big.mjs").write_text("// plain" + " " * 2000)
    (folder / "big.mjs.gz").write_bytes(gzip.compress(b"// made beforehand"))
    return folder


Client = TestClient[web.Request, web.Application]
Check = Callable[[Client], Awaitable[None]]


def visit(folder: Path, check: Check) -> None:
    """Runs `check` with a client of a server of `folder`."""

    async def run() -> None:
        async with TestClient(TestServer(make_app(folder)), auto_decompress=False) as client:
            await check(client)

    asyncio.run(run())


def test_every_answer_isolates_the_page(pack: Path, site: Path) -> None:
    async def check(client: Client) -> None:
        for path in ("/", "/params_shard_0.bin", "/app-3fa9c01b.js", "/missing"):
            response = await client.get(path)
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"

    visit(pack, check)
    visit(site, check)


def test_any_page_may_load_a_pack_but_not_a_site(pack: Path, site: Path) -> None:
    async def allowed(client: Client) -> None:
        response = await client.get("/pack.json")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        preflight = await client.options("/params_shard_0.bin")
        assert preflight.status == 204
        assert "Range" in preflight.headers["Access-Control-Allow-Headers"]

    async def refused(client: Client) -> None:
        response = await client.get("/")
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"

    visit(pack, allowed)
    visit(site, refused)


@pytest.mark.parametrize(
    ("requested", "start", "stop"),
    [("bytes=0-99", 0, 100), ("bytes=100-", 100, len(SHARD)), ("bytes=-7", -7, len(SHARD))],
)
def test_ranges(pack: Path, requested: str, start: int, stop: int) -> None:
    async def check(client: Client) -> None:
        response = await client.get("/params_shard_0.bin", headers={"Range": requested})
        body = await response.read()
        assert response.status == 206
        assert body == SHARD[start:stop]
        first = start % len(SHARD)
        assert response.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{len(SHARD)}"

    visit(pack, check)


def test_a_range_beyond_the_end_is_refused(pack: Path) -> None:
    async def check(client: Client) -> None:
        response = await client.get("/params_shard_0.bin", headers={"Range": "bytes=99999-"})
        assert response.status == 416
        assert response.headers["Content-Range"] == f"bytes */{len(SHARD)}"

    visit(pack, check)


def test_a_resumed_download_starts_anew_if_the_file_changed(pack: Path) -> None:
    async def check(client: Client) -> None:
        etag = (await client.get("/params_shard_0.bin")).headers["ETag"]
        resume = {"Range": "bytes=1000-", "If-Range": etag}
        same = await client.get("/params_shard_0.bin", headers=resume)
        assert (same.status, await same.read()) == (206, SHARD[1000:])

        (pack / "params_shard_0.bin").write_bytes(SHARD[::-1])
        os.utime(pack / "params_shard_0.bin", ns=(1, 1))
        changed = await client.get("/params_shard_0.bin", headers=resume)
        assert (changed.status, await changed.read()) == (200, SHARD[::-1])

    visit(pack, check)


def test_revalidation_by_etag(pack: Path) -> None:
    async def check(client: Client) -> None:
        for encoding in ("identity", "gzip"):
            for path in ("/params_shard_0.bin", "/tokenizer.json"):
                first = await client.get(path, headers={"Accept-Encoding": encoding})
                assert first.headers["Cache-Control"] == "no-cache"
                again = await client.get(
                    path,
                    headers={
                        "Accept-Encoding": encoding,
                        "If-None-Match": first.headers["ETag"],
                    },
                )
                assert (again.status, await again.read()) == (304, b"")

    visit(pack, check)


def test_hashed_names_are_cached_for_good(site: Path) -> None:
    async def check(client: Client) -> None:
        response = await client.get("/app-3fa9c01b.js")
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert (await client.get("/core.wasm")).headers["Cache-Control"] == "no-cache"

    visit(site, check)


def test_text_is_compressed_on_the_way(pack: Path) -> None:
    async def check(client: Client) -> None:
        accept = {"Accept-Encoding": "gzip, br"}
        response = await client.get("/tokenizer.json", headers=accept)
        body = await response.read()
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(body).decode() == TEXT
        assert int(response.headers["Content-Length"]) == len(body) < len(TEXT) / 10

        (pack / "tokenizer.json").write_text(TEXT.upper())
        changed = await client.get("/tokenizer.json", headers=accept)
        assert gzip.decompress(await changed.read()).decode() == TEXT.upper()

        weights = await client.get("/params_shard_0.bin", headers=accept)
        assert "Content-Encoding" not in weights.headers
        piece = await client.get("/tokenizer.json", headers={**accept, "Range": "bytes=0-9"})
        assert await piece.read() == TEXT.upper().encode()[:10]

    visit(pack, check)


def test_a_compressed_file_beside_it_wins(site: Path) -> None:
    async def check(client: Client) -> None:
        response = await client.get("/big.mjs", headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(await response.read()) == b"// made beforehand"
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        plain = await client.get("/big.mjs", headers={"Accept-Encoding": "identity"})
        assert (await plain.read()).startswith(b"// plain")

    visit(site, check)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/core.wasm", "application/wasm"),
        ("/app-3fa9c01b.js", "text/javascript; charset=utf-8"),
    ],
)
def test_content_types(site: Path, path: str, content_type: str) -> None:
    async def check(client: Client) -> None:
        response = await client.get(path)
        assert response.headers["Content-Type"] == content_type

    visit(site, check)


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/..%5csecret.txt",
        "/link.txt",
        "/.hidden",
        "/%00",
        pytest.param("/" + "a" * 5000, id="long"),
    ],
)
def test_nothing_outside_of_the_folder_is_served(pack: Path, path: str) -> None:
    async def check(client: Client) -> None:
        server = client.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ", 2)[1] in (b"404", b"400")
        assert b"not served" not in answer

    visit(pack, check)


def test_folders_have_an_index(site: Path) -> None:
    async def check(client: Client) -> None:
        redirect = await client.get("/docs", allow_redirects=False)
        assert (redirect.status, redirect.headers["Location"]) == (301, "/docs/")
        response: ClientResponse = await client.get("/docs/")
        assert await response.text() == "docs"
        head = await client.head("/docs/")
        assert (head.headers["Content-Length"], await head.read()) == ("4", b"")

    visit(site, check)


def test_a_pack_says_how_to_load_it(pack: Path) -> None:
    async def check(client: Client) -> None:
        assert "Engine.load(" in await (await client.get("/")).text()

    visit(pack, check)


def test_errors_are_named(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotServeError, match=r"neither pack\.json nor index\.html"):
        make_app(tmp_path / "nothing")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServeError, match=f"port {port} is taken"):
            serve_folder(pack, "127.0.0.1", port, print)
    with pytest.raises(CannotServeError, match="no address of this machine"):
        serve_folder(pack, "203.0.113.1", 0, print)
