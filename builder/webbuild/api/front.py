"""The HTTP side of the API: who may ask, and how answers go out.

A request must bring the token; it must name this server as an address or by its own name, so that
no page can reach it by a DNS name that it rebinds; and one that a page of another origin sends is
refused unless that origin was allowed. Answers pass through as they come; a client that leaves
ends its generation.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from webbuild.api.agent import AgentGoneError, ApiAgent

#: Bytes of a request's body; the runtime's own limit.
MAX_BODY = 16 << 20

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    # What a page may send with credentials of its own can't be "*".
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "600",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask: `token` in the header Authorization, `hosts` beside addresses and localhost as
    names of this server, pages of `origins` ("*": of any)."""

    token: str
    hosts: Collection[str] = ()
    origins: Collection[str] = ()


class Backend(Protocol):
    """What answers."""

    @property
    def agent(self) -> ApiAgent | None:
        """None while there is none: it is loading again."""


def make_front(backend: Backend, access: Access) -> web.AppRunner:
    """The server, for `webbuild.serve.listening`."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check_host(request, access)
            origin = _check_origin(request, access)
            if request.method == "OPTIONS" and origin:
                return web.Response(status=204, headers=_PREFLIGHT)
            _check_token(request, access)
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return failure(413, f"at most {MAX_BODY} bytes are read", "request_too_large")
        except _RefusedError as refused:
            return refused.response

    async def allow_origin(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin and _allowed(origin, access):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "x-request-id"
            response.headers["Vary"] = "Origin"

    async def answer(request: web.Request) -> web.StreamResponse:
        agent = backend.agent
        if agent is None:
            return _unavailable("the model is being loaded again: try again in a few seconds")
        try:
            return await _answer(request, agent)
        except AgentGoneError as gone:
            return _unavailable(f"{gone}; it is being loaded again")

    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    app.on_response_prepare.append(allow_origin)
    app.router.add_route("*", "/{path:.*}", answer)
    # A client that leaves cancels its handler; those under way at the end are not waited for.
    return web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)


async def _answer(request: web.Request, agent: ApiAgent) -> web.StreamResponse:
    """Passes a request on and its answer back. Raises AgentGoneError before the answer began."""
    try:
        body = (await request.read()).decode()
    except UnicodeDecodeError as error:
        raise _RefusedError(400, f"the body is not UTF-8: {error}", "invalid_json") from None
    headers = [("content-type", request.headers.get("Content-Type", "application/json"))]
    async with agent.ask(request.method, request.path_qs, headers, body) as answer:
        head = await answer.head()
        response = web.StreamResponse(status=head["status"])
        response.headers.extend(head["headers"])
        # Proxies such as nginx would collect a stream.
        response.headers["X-Accel-Buffering"] = "no"
        await response.prepare(request)
        try:
            async for text in answer.texts():
                await response.write(text.encode())
        except AgentGoneError as gone:
            # The status is out. A stream can still be told; else the connection breaks off.
            if "event-stream" not in response.content_type:
                raise ConnectionResetError from gone
            told = json.dumps(_body(503, str(gone), "engine_unreachable"))
            await response.write(f"event: error\ndata: {told}\n\n".encode())
        await response.write_eof()
        return response


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, code: str) -> None:
        self.response = failure(status, message, code)


def failure(
    status: int, message: str, code: str, headers: dict[str, str] | None = None
) -> web.Response:
    """A refusal with OpenAI's body."""
    return web.json_response(_body(status, message, code), status=status, headers=headers)


def _body(status: int, message: str, code: str) -> dict[str, object]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _unavailable(message: str) -> web.Response:
    return failure(503, message, "engine_unreachable", {"Retry-After": "2"})


def _check_host(request: web.Request, access: Access) -> None:
    host = request.host
    name = host[1 : host.find("]")] if host.startswith("[") else host.rpartition(":")[0] or host
    if name.lower() == "localhost" or name.lower() in access.hosts:
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        message = f"this server is not {name}: ask by its address, or start it with --host {name}"
        raise _RefusedError(403, message, "host_not_allowed") from None


def _check_origin(request: web.Request, access: Access) -> str | None:
    origin = request.headers.get("Origin")
    if origin is not None and not _allowed(origin, access):
        message = f"pages of {origin} may not ask: start the server with --cors {origin}"
        raise _RefusedError(403, message, "origin_not_allowed")
    return origin


def _allowed(origin: str, access: Access) -> bool:
    return origin in access.origins or "*" in access.origins


def _check_token(request: web.Request, access: Access) -> None:
    given = request.headers.get("Authorization", "")
    expected = f"Bearer {access.token}"
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        message = "give the server's token as Authorization: Bearer TOKEN"
        raise _RefusedError(401, message, "invalid_api_key")
