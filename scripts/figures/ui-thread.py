"""make figure-ui-thread: what a long answer costs the page's main thread.

The chat site with the demo model, whose end-of-text token is taken away, answers with 512 tokens at
a high temperature in Chromium. By its trace: the longest task of the main
thread, by the clock and by processor time, and how many take more than 50 ms; `observed` is what
the page's own PerformanceObserver says. Before: `make setup build`. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.figures.builds import REPOSITORY


def endless_site(folder: Path) -> None:
    """The built chat site; no token ends an answer of its model."""
    shutil.copytree(REPOSITORY / "demo_site" / "dist", folder)
    path = folder / "packs" / "demo" / "pack.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["tokens"]["eos"] = []
    path.write_text(json.dumps(manifest), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        endless_site(site)
        script = REPOSITORY / "scripts" / "figures" / "ui_thread.mjs"
        process = subprocess.run(
            ["node", str(script), str(site), str(args.rounds)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    answers = json.loads(process.stdout.splitlines()[-1])
    columns = list(answers[0])
    print("| " + " | ".join(columns) + " |")
    print("|" + "---:|" * len(columns))
    for answer in answers:
        cells = (f"{v:.1f}" if isinstance(v, float) else str(v) for v in answer.values())
        print("| " + " | ".join(cells) + " |")
    print(json.dumps({"answers": answers}))


if __name__ == "__main__":
    main()
