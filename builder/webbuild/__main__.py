"""Entry point of the `webbuild` command, also as ``python -m webbuild``."""

from __future__ import annotations

import io
import signal
import sys
from types import FrameType


def _interrupt(signal_number: int, _frame: FrameType | None) -> None:
    """Ends what runs, so that nothing half-written stays behind."""
    raise KeyboardInterrupt


def main() -> None:
    """Runs the command line and exits with its code."""
    signal.signal(signal.SIGTERM, _interrupt)
    # With Python's own handler asyncio would only cancel, which work between awaits never hears.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # tables hold × and –, which some locales lack
    try:
        from webbuild.cli import run  # seconds, from a cold disk
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
