"""Finds and starts a browser with WebGPU, headless, with a profile that goes when it ends.

scripts/browser.mjs does the same for tests through Playwright; paths and flags are shared
(browsers.json).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from webbuild.errors import BrowserNotFoundError

_KNOWN = json.loads((Path(__file__).parent / "browsers.json").read_text("utf-8"))

#: Timestamps in nanoseconds, not in steps of 100 µs.
_PRECISE_TIMESTAMPS = (
    "--enable-webgpu-developer-features",
    "--disable-dawn-features=timestamp_quantization",
)
_GOODBYE_SECONDS = 5.0


def find_browser() -> Path:
    """`WEBBUILD_CHROMIUM`, else Chrome, Chromium or Edge in its usual place.

    Raises BrowserNotFoundError.
    """
    if named := os.environ.get("WEBBUILD_CHROMIUM"):
        if not Path(named).is_file():
            raise BrowserNotFoundError(f"WEBBUILD_CHROMIUM names {named}, which does not exist")
        return Path(named)
    for path in _usual_places():
        if path.is_file():
            return path
    raise BrowserNotFoundError(
        "no Chrome, Chromium or Edge was found: install one, or name it in WEBBUILD_CHROMIUM"
    )


def browser_command() -> list[str]:
    """The command line of a headless browser on this machine's adapter, without profile and page.

    `WEBBUILD_ADAPTER` chooses another adapter (default, lavapipe, swiftshader, none). Where the
    software GPU of scripts/software_gpu is in the environment, it is taken.
    """
    software = os.environ.get("CHROMIUM_LAVAPIPE")
    adapter = os.environ.get("WEBBUILD_ADAPTER") or ("lavapipe" if software else "default")
    flags = _KNOWN["adapters"].get(adapter)
    if flags is None:
        raise BrowserNotFoundError(
            f"WEBBUILD_ADAPTER is {adapter}; it can be {', '.join(_KNOWN['adapters'])}"
        )
    if adapter == "default" and sys.platform == "linux":
        flags = _KNOWN["linux_default"]
    program = Path(software) if adapter == "lavapipe" and software else find_browser()
    return [str(program), "--headless=new", *_KNOWN["flags"], *flags, *_PRECISE_TIMESTAMPS]


@contextlib.contextmanager
def open_browser(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A browser that shows `url`; it and all its processes end with the context.

    They end with this process too, however that ends: the browser holds a pipe of its debugger
    open, and goes when the other end is closed.
    """
    with tempfile.TemporaryDirectory(prefix="webbuild-profile-", ignore_cleanup_errors=True) as d:
        command = [*browser_command(), f"--user-data-dir={d}", url]
        with contextlib.ExitStack() as stack:
            # Its sockets and other leavings go with the profile.
            process = _start(command, {**os.environ, "TMPDIR": d}, stack)
            try:
                yield process
            finally:
                _end(process)


def _start(
    command: list[str], env: dict[str, str], stack: contextlib.ExitStack
) -> subprocess.Popen[bytes]:
    """Starts the browser in a session of its own: Ctrl-C is ours to handle."""
    null = subprocess.DEVNULL
    if sys.platform == "win32":
        return subprocess.Popen(command, env=env, stdin=null, stdout=null, stderr=null)
    ours, theirs = os.pipe(), os.pipe()
    for end in (ours[1], theirs[0]):
        stack.callback(os.close, end)
    # The debugger's pipe is file 3, for reading, and 4. Shells know no numbers above 9.
    pipe = f"3</dev/fd/{ours[0]} 4>/dev/fd/{theirs[1]}"
    shell = f'exec "$0" "$@" --remote-debugging-pipe {pipe}'
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", shell, *command],
            pass_fds=(ours[0], theirs[1]),
            start_new_session=True,
            env=env,
            stdin=null,
            stdout=null,
            stderr=null,
        )
    finally:
        os.close(ours[0])
        os.close(theirs[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GOODBYE_SECONDS)
    # Whatever is left of its group, though the first process is gone.
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, number)


def _usual_places() -> Iterator[Path]:
    if sys.platform == "darwin":
        for folder in (Path("/Applications"), Path.home() / "Applications"):
            yield from (folder / app for app in _KNOWN["mac_apps"])
    elif sys.platform == "win32":
        for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
            if folder_name := os.environ.get(variable):
                yield from (Path(folder_name) / name for name in _KNOWN["windows_programs"])
    else:
        found = (shutil.which(name) for name in _KNOWN["programs"])
        yield from (Path(path) for path in found if path)
