"""Requests and answers as JSON messages to what holds the engine, as runtime_js/src/http says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


class AgentGoneError(Exception):
    """What held the engine ended, or an answer broke off there; the message says how."""


class Answer:
    """One answer, as it comes."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[dict[str, Any] | AgentGoneError] = asyncio.Queue()
        self.ended = False

    def put(self, message: dict[str, Any] | AgentGoneError) -> None:
        """For the agent: what has arrived."""
        self._messages.put_nowait(message)

    async def head(self) -> dict[str, Any]:
        """`{status, headers}`. Raises AgentGoneError."""
        head: dict[str, Any] = (await self._next())["head"]
        return head

    async def texts(self) -> AsyncIterator[str]:
        """Pieces of the body. Raises AgentGoneError."""
        while "text" in (message := await self._next()):
            yield message["text"]

    async def _next(self) -> dict[str, Any]:
        message = await self._messages.get()
        if isinstance(message, AgentGoneError):
            self.ended = True
            raise message
        if "error" in message:
            self.ended = True
            raise AgentGoneError(message["error"])
        self.ended = "end" in message
        return message


class ApiAgent:
    """Asks what is at the other end of a stream of JSON messages."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._ids = itertools.count(1)
        self._answers: dict[int, Answer] = {}
        self._gone: AgentGoneError | None = None

    @contextlib.asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: list[tuple[str, str]], body: str
    ) -> AsyncIterator[Answer]:
        """The answer to a request; leaving before its end cancels it. Raises AgentGoneError."""
        if self._gone:
            raise self._gone
        number = next(self._ids)
        answer = self._answers[number] = Answer()
        request = {"method": method, "url": path, "headers": headers, "body": body}
        try:
            await self._tell({"id": number, "request": request})
            yield answer
        finally:
            del self._answers[number]
            if not answer.ended and not self._gone:
                await self._tell({"id": number, "cancel": True})

    def receive(self, text: str | bytes) -> None:
        """A message has come."""
        message = json.loads(text)
        if answer := self._answers.get(message["id"]):
            answer.put(message)

    def end(self, why: str) -> None:
        """Nothing will come any more."""
        self._gone = AgentGoneError(why)
        for answer in self._answers.values():
            answer.put(self._gone)

    async def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # `end` will be called
            await self._send(json.dumps(message))
