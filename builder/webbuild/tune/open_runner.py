"""Opens the runner that the command line asks for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from webbuild.bench.plan import default_runtime
from webbuild.errors import InvalidOptionError, MissingExtraError, RuntimeNotFoundError

from .runner import Runner

Place = Literal["wgpu", "dawn", "chromium", "browser"]

Say = Callable[[str], object]


@dataclass(frozen=True)
class RunnerOptions:
    """Where to measure. runtime: a built npm package; None: the repository's own."""

    place: Place = "wgpu"
    runtime: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None


@contextlib.asynccontextmanager
async def open_runner(options: RunnerOptions, say: Say) -> AsyncIterator[Runner]:
    """A runner, as long as the context lasts.

    Raises MissingExtraError, NoAdapterError, BrowserNotFoundError, RuntimeNotFoundError,
    CannotServeError, BenchmarkFailedError.
    """
    if options.place == "wgpu":
        try:
            from .wgpu_runner import WgpuRunner
        except ModuleNotFoundError as error:
            if error.name != "wgpu":
                raise
            raise MissingExtraError(
                "--runner wgpu needs wgpu: pip install 'webbuild[native]'"
            ) from None
        yield WgpuRunner()
        return
    from webbuild.bench.agent import chromium_agent, dawn_agent

    from .agent_runner import AgentRunner
    from .page_agent import page_agent

    runtime = _runtime(options.runtime)
    async with contextlib.AsyncExitStack() as stack:
        if options.place == "dawn":
            agent = await stack.enter_async_context(dawn_agent(runtime, [runtime]))
        elif options.place == "chromium":
            agent = await stack.enter_async_context(chromium_agent(runtime, [runtime]))
        else:
            certificate = _certificate(options)
            page = page_agent(runtime, say, options.host, options.port, certificate)
            agent = await stack.enter_async_context(page)
        yield await AgentRunner.open(agent)


def _runtime(folder: Path | None) -> Path:
    runtime = (folder or default_runtime()).resolve()
    if not (runtime / "bench.js").is_file():
        raise RuntimeNotFoundError(
            f"{runtime} holds no built npm package with bench.js: run `make build-runtime`, or "
            "give --runtime the folder `dist` of one"
        )
    return runtime


def _certificate(options: RunnerOptions) -> tuple[Path, Path] | None:
    if options.certificate is None and options.key is None:
        return None
    if options.certificate is None or options.key is None:
        raise InvalidOptionError("--certificate and --key go together: give both")
    return options.certificate, options.key
