"""make figure-device-loss: what becomes of requests whose GPU device is lost at random moments.

The toy model on Dawn, in Node, linked with another engine: its device is destroyed behind the
engine's back 50 times, before calls drawn with a seed, in each phase in turn: load, prefill,
decode, rebuild (of the one lost before), save and restore of a prefix, send and receive of keys and
values. For each phase: losses, and what became of the requests and transfers that were under way
(one counts in each phase in which it met a loss): completed with the result of an undisturbed
engine, wrong, ended with the named error, hung (60 s); abandoned are transfers that ended by name,
whose prompt is computed instead. Before: `make setup`. The last line is one JSON object, with the
milliseconds from a loss to the next device's readiness.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from scripts.figures.builds import REPOSITORY

TEST = ["npx", "vitest", "run", "src/worker/random_losses.test.ts"]
COLUMNS = ("losses", "completed", "wrong", "named", "abandoned", "hung")


def main() -> None:
    """Prints the counts of the seeded test."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "WEBBUILD_DEVICE_LOSS_REPORT": str(report)}
        process = subprocess.run(TEST, cwd=REPOSITORY / "runtime_js", env=environment)
        if not report.exists():
            raise SystemExit(process.returncode or 1)
        counted = json.loads(report.read_text())
    print("| phase | " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---:|" * len(COLUMNS))
    for phase, row in counted["phases"].items():
        print(f"| {phase} | " + " | ".join(str(row[column]) for column in COLUMNS) + " |")
    phases = counted["phases"].values()
    total = {column: sum(row[column] for row in phases) for column in COLUMNS}
    print("| all | " + " | ".join(str(total[column]) for column in COLUMNS) + " |")
    print(json.dumps({"total": total, **counted}))
    raise SystemExit(process.returncode)


if __name__ == "__main__":
    main()
