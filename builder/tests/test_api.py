"""`webbuild serve PACK --api`: who may ask, how answers pass through, and that it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from webbuild.api import ApiOptions, serve_api
from webbuild.api.agent import ApiAgent
from webbuild.api.front import MAX_BODY, Access, make_front
from webbuild.errors import InvalidOptionError, NotAPackError, RuntimeNotFoundError
from webbuild.serve import listening

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo_site" / "public" / "packs" / "demo"
CHAT = "/v1/chat/completions"
KEY = {"Authorization": "Bearer secret"}


class Script:
    """The other end of an agent's channel, played by the test: keeps what is asked."""

    def __init__(self) -> None:
        self.agent: ApiAgent | None = ApiAgent(self._take)
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def _take(self, text: str) -> None:
        self.asked.put_nowait(json.loads(text))

    def tell(self, number: int, **message: Any) -> None:
        assert self.agent
        self.agent.receive(json.dumps({"id": number, **message}))


Check = Callable[[Script, ClientSession], Awaitable[None]]


def behind(check: Check, access: Access | None = None) -> None:
    """Runs `check` with a client of the front, whose answers the test plays."""

    async def run() -> None:
        script = Script()
        front = make_front(script, access or Access("secret"))
        async with listening(front, "127.0.0.1", 0) as url, ClientSession(url) as client:
            await check(script, client)

    asyncio.run(run())


async def code_of(response: Any) -> tuple[int, str]:
    return response.status, (await response.json())["error"]["code"]


def test_nobody_asks_without_the_token() -> None:
    async def check(script: Script, client: ClientSession) -> None:
        for value in ("", "secret", "Bearer ", "Bearer secre", "Bearer secret2", "Bearer sécret"):
            response = await client.post(CHAT, json={}, headers={"Authorization": value})
            assert await code_of(response) == (401, "invalid_api_key")
        assert script.asked.empty()

    behind(check)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_name_that_was_bound_to_this_address_is_refused(host: str) -> None:
    async def check(script: Script, client: ClientSession) -> None:
        response = await client.get("/v1/models", headers=KEY | {"Host": host})
        assert await code_of(response) == (403, "host_not_allowed")
        assert script.asked.empty()

    behind(check)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "192.168.1.2:80", "[::1]:5", "my.lan"]
)
def test_addresses_and_own_names_are_taken(host: str) -> None:
    async def check(script: Script, client: ClientSession) -> None:
        response = await client.get("/v1/models", headers={"Host": host})
        assert await code_of(response) == (401, "invalid_api_key")

    behind(check, Access("secret", {"my.lan"}))


def test_pages_ask_only_from_origins_that_are_allowed() -> None:
    async def check(script: Script, client: ClientSession) -> None:
        evil, good = {"Origin": "https://evil.example"}, {"Origin": "https://good.example"}
        for method in ("OPTIONS", "POST"):
            response = await client.request(method, CHAT, headers=KEY | evil)
            assert await code_of(response) == (403, "origin_not_allowed")
            assert "Access-Control-Allow-Origin" not in response.headers
        preflight = await client.options(CHAT, headers=good)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == good["Origin"]
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        refused = await client.post(CHAT, headers=good)  # and may read why
        assert await code_of(refused) == (401, "invalid_api_key")
        assert refused.headers["Access-Control-Allow-Origin"] == good["Origin"]
        assert script.asked.empty()

    behind(check, Access("secret", origins=("https://good.example",)))


def test_answers_pass_through_as_they_come() -> None:
    async def check(script: Script, client: ClientSession) -> None:
        asking = asyncio.create_task(client.post(f"{CHAT}?x=1", data='{"é": 1}', headers=KEY))
        asked = await script.asked.get()
        request = asked["request"]
        assert (request["method"], request["url"]) == ("POST", f"{CHAT}?x=1")
        assert request["body"] == '{"é": 1}'
        assert "secret" not in json.dumps(request)
        head = [["content-type", "text/event-stream"], ["x-request-id", "req_1"]]
        script.tell(asked["id"], head={"status": 200, "headers": head})
        response = await asking
        assert response.headers["x-request-id"] == "req_1"
        assert response.content_type == "text/event-stream"
        for text in ("data: {}\n\n", "data: é\n\n"):
            script.tell(asked["id"], text=text)
            assert (await response.content.readany()).decode() == text
        script.tell(asked["id"], end=True)
        assert await response.content.read() == b""
        assert script.asked.empty()

    behind(check)


def test_a_body_that_is_not_utf8_is_refused_not_changed() -> None:
    async def check(script: Script, client: ClientSession) -> None:
        response = await client.post(CHAT, data='{"é": 1}'.encode("latin-1"), headers=KEY)
        assert await code_of(response) == (400, "invalid_json")
        assert script.asked.empty()

    behind(check)


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_leaves_cancels_its_request(begun: bool) -> None:
    async def check(script: Script, client: ClientSession) -> None:
        asking = asyncio.create_task(client.post(CHAT, json={}, headers=KEY))
        asked = await script.asked.get()
        if begun:
            head = {"status": 200, "headers": [["content-type", "text/event-stream"]]}
            script.tell(asked["id"], head=head)
            (await asking).close()
        else:
            asking.cancel()
        assert await script.asked.get() == {"id": asked["id"], "cancel": True}

    behind(check)


def test_while_nothing_answers_it_says_so() -> None:
    async def check(script: Script, client: ClientSession) -> None:
        agent = script.agent
        assert agent
        waiting = asyncio.create_task(client.post(CHAT, json={}, headers=KEY))
        streaming = asyncio.create_task(client.post(CHAT, json={}, headers=KEY))
        numbers = [(await script.asked.get())["id"] for _ in range(2)]
        head = {"status": 200, "headers": [["content-type", "text/event-stream"]]}
        script.tell(numbers[0], head=head)
        begun, _ = await asyncio.wait([waiting, streaming], return_when="FIRST_COMPLETED")
        agent.end("it crashed")
        script.agent = None
        for task in (waiting, streaming):
            response = await task
            if task in begun:
                event, data = (await response.text()).splitlines()[:2]
                assert event == "event: error"
                assert json.loads(data[6:])["error"]["message"] == "it crashed"
            else:
                assert await code_of(response) == (503, "engine_unreachable")
        response = await client.get("/v1/models", headers=KEY)
        assert await code_of(response) == (503, "engine_unreachable")
        assert response.headers["Retry-After"] == "2"

    behind(check)


def test_a_body_that_is_too_large_is_refused() -> None:
    async def check(script: Script, client: ClientSession) -> None:
        response = await client.post(CHAT, data=b" " * (MAX_BODY + 1), headers=KEY)
        assert await code_of(response) == (413, "request_too_large")
        assert script.asked.empty()

    behind(check)


def test_wrong_options_are_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(NotAPackError, match=r"pack\.json"):
        serve_api(tmp_path, ApiOptions(), print)
    with pytest.raises(RuntimeNotFoundError, match=r"http\.js"):
        serve_api(DEMO, ApiOptions(runtime=tmp_path), print)
    (tmp_path / "http.js").touch()
    with pytest.raises(InvalidOptionError, match="--cors"):
        serve_api(DEMO, ApiOptions(runtime=tmp_path, origins=("https://a.example/b",)), print)
    with pytest.raises(InvalidOptionError, match="--api-key"):
        serve_api(DEMO, ApiOptions(runtime=tmp_path, token=" "), print)


# --- with a model ------------------------------------------------------------------------------


class Served:
    """A command that serves the demo pack, and a client of it."""

    def __init__(self, backend: str) -> None:
        arguments = ["serve", str(DEMO), "--api", "--port", "0", "--backend", backend]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "webbuild", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        said = ""
        assert self.process.stdout
        while "curl" not in said:
            line = self.process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        found = re.search(r"http://127\.0\.0\.1:(\d+)/v1 .*key\s+(\S{32})", said, re.DOTALL)
        assert found
        self.port, self.key = int(found[1]), found[2]

    def ask(self, path: str, body: object = None) -> tuple[int, Any, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.key}"}
        data = None if body is None else json.dumps(body)
        connection.request("GET" if data is None else "POST", path, data, headers)
        response = connection.getresponse()
        text = response.read().decode()
        is_json = "json" in response.headers["Content-Type"]
        return response.status, json.loads(text) if is_json else text, response

    def children(self) -> list[int]:
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(line) for line in found.stdout.split()]

    def stop(self) -> int:
        children = self.children()
        assert children
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        for child in children:
            with pytest.raises(ProcessLookupError):
                os.kill(child, 0)
        return code


@contextlib.contextmanager
def served(backend: str) -> Iterator[Served]:
    server = Served(backend)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


MESSAGES = [{"role": "user", "content": "Name a colour."}]


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["dawn", "browser"])
def test_a_pack_answers_over_http(backend: str) -> None:
    with served(backend) as server:
        status, models, _ = server.ask("/v1/models")
        assert (status, [model["id"] for model in models["data"]]) == (200, ["webbuild-demo"])
        request = {"model": "webbuild-demo", "messages": MESSAGES, "temperature": 0}
        status, answer, response = server.ask(CHAT, request | {"max_tokens": 6})
        assert status == 200
        assert response.headers["x-request-id"].startswith("req_")
        text = answer["choices"][0]["message"]["content"]
        assert text

        status, events, _ = server.ask(CHAT, request | {"max_tokens": 6, "stream": True})
        *chunks, done, end = events.split("\n\n")
        assert (status, done, end) == (200, "data: [DONE]", "")
        deltas = [json.loads(chunk[6:])["choices"][0]["delta"] for chunk in chunks]
        assert "".join(delta.get("content") or "" for delta in deltas) == text

        status, refused, _ = server.ask(CHAT, request | {"temperature": 3})
        assert (status, refused["error"]["param"]) == (400, "temperature")
        status, unknown, _ = server.ask(CHAT, request | {"model": "gpt-4o"})
        assert (status, unknown["error"]["code"]) == (404, "model_not_found")

        if backend == "dawn":
            _crash(server)
        assert server.stop() == 0


def _crash(server: Served) -> None:
    """What answers is killed; it says so, and answers again."""
    for child in server.children():
        os.kill(child, signal.SIGKILL)
    seen: list[int] = []
    while 200 not in seen:
        assert len(seen) < 1000
        seen.append(server.ask("/v1/models")[0])
        time.sleep(0.05)
    assert set(seen) <= {200, 503}
