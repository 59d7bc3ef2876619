"""make figure-hidden-tab: what becomes of an engine whose tab nobody sees.

The demo model in Chromium, in its worker and (`worker: false`) in the page itself: time of a token
and of a load from the browser's storage while the tab is in front, and behind another one, in
turns; how long a timer of 10 ms takes then, in the page and in a worker; and whether an answer
whose tab is frozen in its middle goes on afterwards. Before: `make setup build`. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from scripts.figures.pages import DEMO, endless, run_script, temporary_site

NUMBERS = ("tokens", "rounds", "frozen")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """What `hidden_tab_in_chromium.mjs` tells."""
    with temporary_site(DEMO) as site:
        endless(site / "pack" / "pack.json")
        options = {key: getattr(args, key) for key in NUMBERS}
        answer: dict[str, Any] = run_script("hidden_tab_in_chromium.mjs", site, json.dumps(options))
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frozen", type=float, default=3, help="seconds")
    args = parser.parse_args()
    answer = measure(args)
    rows = {(row["where"], row["state"]): row for row in answer.pop("rows")}
    print("| engine | hidden / visible: ms per token | load | timers of 10 ms, visible | hidden |")
    print("|---|---:|---:|---:|---:|")
    answer["ratios"] = {}
    for where in ("worker", "page"):
        visible, hidden = (rows[where, state] for state in ("visible", "hidden"))
        ratios = {
            key: round(statistics.median(hidden[key]) / statistics.median(visible[key]), 2)
            for key in ("ms", "load")
        }
        answer["ratios"][where] = ratios
        timers = (f"{answer['timers'][state][where]:.0f} ms" for state in ("visible", "hidden"))
        cells = [where, f"{ratios['ms']}×", f"{ratios['load']}×", *timers]
        print("| " + " | ".join(cells) + " |")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
