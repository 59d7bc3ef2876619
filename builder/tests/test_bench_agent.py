"""The channel to a page that measures: whatever the page does, calls end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientWebSocketResponse, web
from aiohttp.test_utils import TestClient, TestServer

from webbuild.api.backends import browser
from webbuild.bench.agent import PageChannel, RemoteAgent, chromium_agent
from webbuild.errors import ApiFailedError, BenchmarkFailedError

Check = Callable[[RemoteAgent, ClientWebSocketResponse], Awaitable[None]]


def measuring(check: Check) -> None:
    """Runs `check` with an agent and the page's end of its channel."""

    async def run() -> None:
        channel = PageChannel(lambda _: "the page went away")
        app = web.Application()
        app.router.add_get("/channel", channel.serve)
        async with TestClient(TestServer(app)) as client, asyncio.timeout(10):
            page = await client.ws_connect("/channel")
            await check(await channel.agent({}), page)

    asyncio.run(run())


def test_a_page_that_answers_twice_or_late_disturbs_nothing() -> None:
    async def check(agent: RemoteAgent, page: ClientWebSocketResponse) -> None:
        first = asyncio.create_task(agent.call("first", None))
        number = (await page.receive_json())["id"]
        for _ in range(2):
            await page.send_json({"id": number, "result": 1})
        assert await first == 1
        given_up = asyncio.create_task(agent.call("given up", None))
        number = (await page.receive_json())["id"]
        given_up.cancel()
        await asyncio.wait([given_up])
        await page.send_json({"id": number, "event": {}})
        await page.send_json({"id": number, "result": 2})
        last = asyncio.create_task(agent.call("last", None))
        await page.send_json({"id": (await page.receive_json())["id"], "result": 3})
        assert await last == 3

    measuring(check)


def test_what_is_no_message_ends_calls() -> None:
    async def check(agent: RemoteAgent, page: ClientWebSocketResponse) -> None:
        call = asyncio.create_task(agent.call("kernels", None))
        await page.receive_json()
        await page.send_str("{")
        with pytest.raises(BenchmarkFailedError, match="the page went away"):
            await call

    measuring(check)


def test_a_page_that_went_away_before_it_was_asked_is_gone() -> None:
    async def run() -> None:
        channel = PageChannel(lambda _: "the page went away")
        app = web.Application()
        app.router.add_get("/channel", channel.serve)
        async with TestClient(TestServer(app)) as client, asyncio.timeout(10):
            await (await client.ws_connect("/channel")).close()
            agent = await channel.agent({})
            with pytest.raises(BenchmarkFailedError, match="the page went away"):
                await agent.call("kernels", None)

    asyncio.run(run())


def test_a_call_while_the_page_closes_says_so() -> None:
    async def run() -> None:
        async def send(_: str) -> None:
            asyncio.get_running_loop().call_later(0.01, agent.end, "the page went away")
            raise ConnectionResetError("Cannot write to closing transport")

        agent = RemoteAgent(send, {})
        with pytest.raises(BenchmarkFailedError, match="the page went away"):
            await agent.call("kernels", None)

    asyncio.run(run())


@pytest.mark.gpu
def test_a_runtime_that_does_not_start_is_told(tmp_path: Path) -> None:
    for name in ("bench.js", "index.js"):
        (tmp_path / name).write_text("export const broken = ;")

    async def run() -> None:
        async with asyncio.timeout(30):
            with pytest.raises(BenchmarkFailedError, match="the runtime does not start"):
                async with chromium_agent(tmp_path, [tmp_path]) as agent:
                    await agent.call("kernels", None)
            with pytest.raises(ApiFailedError, match="the runtime does not start"):
                async with browser(tmp_path, tmp_path):
                    pass

    asyncio.run(run())
