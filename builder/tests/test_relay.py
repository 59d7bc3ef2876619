"""The relay: two meet in a room, frames cross in order, a slow reader holds its writer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import (
    ClientSession,
    ClientWebSocketResponse,
    WSCloseCode,
    WSMsgType,
    WSServerHandshakeError,
    web,
)
from aiohttp.test_utils import TestClient, TestServer

from webbuild.relay import MAX_FRAME, MAX_ROOMS, NOBODY_CAME, OTHER_LEFT, Relay
from webbuild.serve import _serve, make_app

ROOM = "/relay/a-secret-of-16-or-more"

Client = TestClient[web.Request, web.Application]
Check = Callable[[Client, Relay], Awaitable[None]]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "pack.json").write_text("{}")
    return tmp_path


def visit(folder: Path, check: Check, *, wait: float = 30) -> None:
    """Runs `check` with a client of a server with a relay; afterwards no room may be left."""

    async def run() -> None:
        relay = Relay(wait=wait)
        async with TestClient(TestServer(make_app(folder, relay=relay))) as client:
            await check(client, relay)
            async with asyncio.timeout(10):
                while relay.rooms:
                    await asyncio.sleep(0.01)

    asyncio.run(run())


async def meet(client: Client) -> tuple[ClientWebSocketResponse, ClientWebSocketResponse]:
    """Two sockets in one room that know of each other."""
    a = await client.ws_connect(ROOM, max_msg_size=0)
    b = await client.ws_connect(ROOM, max_msg_size=0)
    for side in (a, b):
        assert await side.receive_str() == '{"joined": true}'
    return a, b


def test_frames_cross_both_ways_whole_and_in_order(pack: Path) -> None:
    async def check(client: Client, _: Relay) -> None:
        a, b = await meet(client)
        frames = [bytes([i]) * size for i, size in enumerate((1, 70_000, 2, MAX_FRAME - 1))]
        for frame in frames:
            await a.send_bytes(frame)
        assert [await b.receive_bytes() for _ in frames] == frames
        await b.send_bytes(b"back")
        assert await a.receive_bytes() == b"back"
        await a.close()

    visit(pack, check)


@pytest.mark.parametrize("leaver", [0, 1])
def test_when_one_leaves_the_other_is_closed_and_the_room_is_free(pack: Path, leaver: int) -> None:
    async def check(client: Client, _: Relay) -> None:
        for _round in range(2):
            sides = await meet(client)
            await sides[leaver].close()
            left = sides[1 - leaver]
            assert (await left.receive()).type is WSMsgType.CLOSE
            assert left.close_code == OTHER_LEFT

    visit(pack, check)


def test_one_who_vanishes_has_left(pack: Path) -> None:
    async def check(client: Client, _: Relay) -> None:
        a, b = await meet(client)
        transport = a._response.connection and a._response.connection.transport
        assert transport
        transport.abort()
        assert (await b.receive()).type is WSMsgType.CLOSE
        assert b.close_code == OTHER_LEFT

    visit(pack, check)


def test_a_third_is_refused_and_a_token_must_be_hard_to_guess(pack: Path) -> None:
    async def check(client: Client, _: Relay) -> None:
        a, _b = await meet(client)
        for path, status in ((ROOM, 409), ("/relay/short", 400), ("/relay/" + "a" * 129, 400)):
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect(path)
            assert refused.value.status == status
        assert (await client.get(ROOM)).status == 400
        await a.close()

    visit(pack, check)


def test_rooms_are_few(pack: Path) -> None:
    async def check(client: Client, _: Relay) -> None:
        sides = [await client.ws_connect(f"{ROOM}{i}") for i in range(MAX_ROOMS)]
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect(f"{ROOM}-more")
        assert refused.value.status == 503
        for side in sides:
            await side.close()

    visit(pack, check)


def test_nobody_comes(pack: Path) -> None:
    async def check(client: Client, _: Relay) -> None:
        alone = await client.ws_connect(ROOM)
        assert (await alone.receive()).type is WSMsgType.CLOSE
        assert alone.close_code == NOBODY_CAME

    visit(pack, check, wait=0.05)


def test_what_breaks_the_rules_ends_the_room(pack: Path) -> None:
    async def check(client: Client, _: Relay) -> None:
        alone = await client.ws_connect(ROOM)
        await alone.send_bytes(b"too early")
        assert (await alone.receive()).type is WSMsgType.CLOSE
        assert alone.close_code == WSCloseCode.POLICY_VIOLATION

        a, b = await meet(client)
        await a.send_str("text")
        assert (await a.receive()).type is WSMsgType.CLOSE
        assert (await b.receive()).type is WSMsgType.CLOSE
        assert (a.close_code, b.close_code) == (WSCloseCode.POLICY_VIOLATION, OTHER_LEFT)

        a, b = await meet(client)
        with contextlib.suppress(ConnectionError):  # cut off while sending, or after it
            await a.send_bytes(bytes(MAX_FRAME + 1))
        assert (await b.receive()).type is WSMsgType.CLOSE
        assert b.close_code == OTHER_LEFT

    visit(pack, check)


def test_a_reader_that_stops_holds_the_writer(pack: Path) -> None:
    """What nobody reads stays with the writer: buffers on the way are bounded."""

    async def check(client: Client, _: Relay) -> None:
        a, b = await meet(client)
        frame = bytes(1 << 20)
        total = 256
        sent = 0

        async def write() -> None:
            nonlocal sent
            for _i in range(total):
                await a.send_bytes(frame)
                sent += 1

        assert b._response.connection and b._response.connection.transport
        b._response.connection.transport.pause_reading()
        writing = asyncio.create_task(write())
        seen = -1
        while seen != sent:  # until it moves no more
            seen = sent
            await asyncio.sleep(0.3)
        assert not writing.done()
        assert sent < total // 2
        b._response.connection.transport.resume_reading()
        for _i in range(total):
            assert len(await b.receive_bytes()) == len(frame)
        await writing
        await a.close()

    visit(pack, check)


def test_without_the_option_there_is_no_relay(pack: Path) -> None:
    async def run() -> None:
        async with TestClient(TestServer(make_app(pack))) as client:
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect(ROOM)
            assert refused.value.status == 404

    asyncio.run(run())


def test_the_server_ends_though_two_are_in_a_room(pack: Path) -> None:
    async def run() -> None:
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        app = make_app(pack, relay=Relay())
        say = lambda said: url.set_result(said.split()[3])  # noqa: E731
        serving = asyncio.create_task(_serve(app, pack, "127.0.0.1", 0, say))
        async with ClientSession(await url) as client:
            a, b = [await client.ws_connect(ROOM) for _ in range(2)]
            reading = [asyncio.create_task(side.receive()) for side in (a, b)]
            serving.cancel()  # as Ctrl-C does
            done, _ = await asyncio.wait([serving], timeout=10)
            assert done
            await asyncio.wait(reading)

    asyncio.run(run())
