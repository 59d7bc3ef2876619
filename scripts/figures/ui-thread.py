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
import tempfile
from pathlib import Path

from scripts.figures.builds import REPOSITORY
from scripts.figures.pages import endless, run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        shutil.copytree(REPOSITORY / "demo_site" / "dist", site)
        endless(site / "packs" / "demo" / "pack.json")
        answers = run_script("ui_thread.mjs", site, str(args.rounds))
    columns = list(answers[0])
    print("| " + " | ".join(columns) + " |")
    print("|" + "---:|" * len(columns))
    for answer in answers:
        cells = (f"{v:.1f}" if isinstance(v, float) else str(v) for v in answer.values())
        print("| " + " | ".join(cells) + " |")
    print(json.dumps({"answers": answers}))


if __name__ == "__main__":
    main()
