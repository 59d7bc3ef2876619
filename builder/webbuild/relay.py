"""The relay of `webbuild serve --relay`: two engines that can't reach each other meet in a room.

A room is named by a token of 16 to 128 letters, digits, `-` and `_`; who knows the token may join,
so it is chosen at random and kept secret. Two WebSockets make a room. When both are there each gets
the text frame `{"joined": true}`; from then on every binary frame of one goes to the other. No
frame is read from a side before the last one has left for the other, so a slow reader slows its
writer down and nothing piles up here. When a side leaves, or breaks a rule, the other is closed
too, with a code that says why.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

#: Bytes of a frame. A transfer's pieces are smaller, unless one KV page of the model is larger.
MAX_FRAME = 16 << 20
MAX_ROOMS = 64
#: Seconds that the first side waits for the second.
WAIT = 300.0
#: Seconds between two pings; a side that answers none of them has left.
PING = 20.0
#: Seconds that a side has to take a closing frame.
CLOSE = 2.0

#: Close codes of this relay; 4000 and above are an application's own.
OTHER_LEFT = 4001
NOBODY_CAME = 4002

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(eq=False)
class _Room:
    taken: int = 0
    sides: list[web.WebSocketResponse] = field(default_factory=list)

    def other(self, socket: web.WebSocketResponse) -> web.WebSocketResponse | None:
        return next((side for side in self.sides if side is not socket), None)


class Relay:
    """Rooms by token; `join` is the handler of a GET with the path parameter `token`."""

    def __init__(self, *, wait: float = WAIT) -> None:
        self._rooms: dict[str, _Room] = {}
        self._wait = wait

    @property
    def rooms(self) -> int:
        """Rooms that somebody is in."""
        return len(self._rooms)

    async def join(self, request: web.Request) -> web.StreamResponse:
        token = request.match_info["token"]
        if not _TOKEN.fullmatch(token):
            raise web.HTTPBadRequest(text="a room's token has 16 to 128 of A-Z a-z 0-9 - _")
        socket = web.WebSocketResponse(
            max_msg_size=MAX_FRAME, heartbeat=PING, timeout=CLOSE, compress=False
        )
        if not socket.can_prepare(request).ok:
            raise web.HTTPBadRequest(text="this is a WebSocket relay")
        room = self._enter(token)
        try:
            await socket.prepare(request)
            room.sides.append(socket)
            with contextlib.suppress(ConnectionError):
                await self._forward(room, socket)
        finally:
            if self._rooms.get(token) is room:
                del self._rooms[token]
            if other := room.other(socket):
                await other.close(code=OTHER_LEFT, message=b"the other side left")
        return socket

    def _enter(self, token: str) -> _Room:
        """The room, with a place in it taken."""
        room = self._rooms.get(token)
        if room is None:
            if len(self._rooms) >= MAX_ROOMS:
                raise web.HTTPServiceUnavailable(text=f"all {MAX_ROOMS} rooms are taken")
            room = self._rooms[token] = _Room()
        if room.taken == 2:
            raise web.HTTPConflict(text="two are in this room already")
        room.taken += 1
        return room

    async def _forward(self, room: _Room, socket: web.WebSocketResponse) -> None:
        """Until a side leaves."""
        if len(room.sides) == 2:
            for side in room.sides:
                await side.send_str('{"joined": true}')
        while True:
            other = room.other(socket)
            try:
                message = await socket.receive(None if other else self._wait)
            except TimeoutError:
                if room.other(socket):
                    continue
                await socket.close(code=NOBODY_CAME, message=b"nobody else came")
                return
            other = room.other(socket)
            if message.type is WSMsgType.BINARY and other:
                await other.send_bytes(message.data)
            elif message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                what = b"binary frames only, and only when both are there"
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=what)
                return
            else:
                return
