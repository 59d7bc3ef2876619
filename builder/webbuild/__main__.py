"""Entry point of the `webbuild` command, also as ``python -m webbuild``."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from webbuild.cli import run


def _terminate(signal_number: int, _frame: FrameType | None) -> None:
    """Ends like Ctrl-C does, so that nothing half-written stays behind."""
    raise KeyboardInterrupt


def main() -> None:
    """Runs the command line and exits with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
