"""make figure-device-loss: what becomes of requests whose GPU device is lost at random moments.

The toy model on Dawn, in Node: its device is destroyed behind the engine's back 50 times, before
calls drawn with a seed: while it loads, prefills, decodes, recovers, saves and restores prefixes.
Every answer is compared with that of an undisturbed engine. Before: `make setup`. The last line is
one JSON object: losses, requests completed with the right tokens, those that ended with the named
error, those that hung (60 s), and the milliseconds from a loss to the next device's readiness.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from scripts.figures.builds import REPOSITORY

TEST = ["npx", "vitest", "run", "src/engine/device_loss.test.ts", "-t", "at any moment"]


def main() -> None:
    """Prints the counts of the seeded test."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "WEBBUILD_DEVICE_LOSS_REPORT": str(report)}
        subprocess.run(TEST, cwd=REPOSITORY / "runtime_js", env=environment, check=True)
        print(json.dumps(json.loads(report.read_text())))


if __name__ == "__main__":
    main()
