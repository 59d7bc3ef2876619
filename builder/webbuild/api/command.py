"""`webbuild serve PACK --api`: starts what holds the engine, and the server before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shlex
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from webbuild.api.agent import ApiAgent
from webbuild.api.backends import Backend, Loaded, browser, dawn
from webbuild.api.front import Access, make_front
from webbuild.bench.plan import default_runtime
from webbuild.errors import (
    InvalidOptionError,
    NotAPackError,
    RuntimeNotFoundError,
    WebbuildError,
)
from webbuild.serve import listening

_BACKENDS: dict[str, Backend] = {"browser": browser, "dawn": dawn}
#: Seconds before what ended is started again: at first, and at most.
_AGAIN = (0.5, 30.0)


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """The command line's options. token: None makes one up."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    origins: tuple[str, ...] = ()
    backend: str = "browser"
    runtime: Path | None = None


def serve_api(pack: Path, options: ApiOptions, say: Callable[[str], None]) -> None:
    """Serves until Ctrl-C or SIGTERM; `say` gets what to tell the user.

    Raises NotAPackError, RuntimeNotFoundError, InvalidOptionError, CannotServeError,
    BrowserNotFoundError, MissingExtraError or ApiFailedError.
    """
    if not (pack / "pack.json").is_file():
        raise NotAPackError(f"{pack} holds no pack.json: give a folder made by webbuild pack")
    runtime = (options.runtime or default_runtime()).resolve()
    if not (runtime / "http.js").is_file():
        raise RuntimeNotFoundError(
            f"{runtime} holds no built npm package (http.js): run `make build-runtime`, or give "
            "--runtime the folder `dist` of one (node_modules/webbuild/dist)"
        )
    if options.token is not None and not options.token.strip():
        raise InvalidOptionError("--api-key is empty: leave it out, and one is made up")
    for origin in options.origins:
        if origin != "*" and (not origin.startswith("http") or origin.count("/") != 2):
            raise InvalidOptionError(
                f"--cors {origin}: an origin is like https://example.org, without a path"
            )
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve(pack, runtime, options, say))


async def _serve(
    pack: Path, runtime: Path, options: ApiOptions, say: Callable[[str], None]
) -> None:
    token = options.token or secrets.token_urlsafe(24)
    keeper = _Keeper(lambda: _BACKENDS[options.backend](runtime, pack), say)
    runner = make_front(keeper, Access(token, {options.host.lower()}, options.origins))
    main = asyncio.current_task()
    assert main
    with contextlib.suppress(NotImplementedError):  # on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    async with listening(runner, options.host, options.port) as url:
        say(f"Loading {pack} ({options.backend})")
        await keeper.run(lambda model: say(_usage(url, token, model)))


class _Keeper:
    """Starts what answers, and starts it again when it ends."""

    def __init__(
        self,
        start: Callable[[], AbstractAsyncContextManager[Loaded]],
        say: Callable[[str], None],
    ) -> None:
        self._start = start
        self._say = say
        #: None while it is loading.
        self.agent: ApiAgent | None = None

    async def run(self, ready: Callable[[str], None]) -> None:
        """For ever; `ready` gets the model's name once. Raises what the first start does."""
        loads, delay = 0, _AGAIN[0]
        while True:
            try:
                async with self._start() as loaded:
                    self.agent, delay = loaded.agent, _AGAIN[0]
                    if loads == 0:
                        ready(loaded.model)
                    else:
                        self._say("It is loaded again.")
                    loads += 1
                    why = await loaded.gone
            except WebbuildError as error:
                if loads == 0:
                    raise
                why = str(error)
            finally:
                self.agent = None
            self._say(f"{why}. Loading again in {delay:g} s.")
            await asyncio.sleep(delay)
            delay = min(2 * delay, _AGAIN[1])


def _usage(url: str, token: str, model: str) -> str:
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "stream": True}
    )
    return f"""\
Serving OpenAI's API at {url}v1  (Ctrl-C stops)
  model  {model}
  key    {token}

  curl {url}v1/chat/completions \\
    -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\
    -d {shlex.quote(body)}
"""
