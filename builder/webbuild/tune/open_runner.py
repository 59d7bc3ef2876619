"""Opens the runner that the command line asks for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from webbuild.errors import MissingExtraError

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
    raise NotImplementedError
