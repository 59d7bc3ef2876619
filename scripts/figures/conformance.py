"""make figure-conformance: the conformance suite on every host, in every form, as a table.

All requests of tests_e2e/conformance in Chromium (main thread, dedicated, shared and service
worker, extension), in Node on Dawn and in Deno; each whole, streamed, and both over `/v1`. Writes
the table of docs/conformance.md: groups of requests by hosts, passed of asked. ARGS=--part: what CI
runs, which writes nothing. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from scripts.figures.builds import REPOSITORY

TEST = ["npx", "playwright", "test", "tests/conformance.test.ts"]
PAGE = REPOSITORY / "docs/conformance.md"
MARK = "<!-- the table is written by make figure-conformance -->\n"


def table(hosts: dict[str, dict[str, list[int]]]) -> str:
    """Rows are groups, columns hosts, cells passed/asked; the last row sums."""
    groups = list(dict.fromkeys(group for counts in hosts.values() for group in counts))
    lines = [f"| group | {' | '.join(hosts)} |", "|---|" + "---:|" * len(hosts)]
    for group in groups:
        cells = [counts.get(group, [0, 0]) for counts in hosts.values()]
        lines.append(f"| {group} | " + " | ".join(f"{good}/{of}" for good, of in cells) + " |")
    sums = [[sum(pair) for pair in zip(*counts.values(), strict=True)] for counts in hosts.values()]
    lines.append("| all | " + " | ".join(f"{good}/{of}" for good, of in sums) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="store_true")
    part = parser.parse_args().part
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "WEBBUILD_CONFORMANCE_REPORT": str(report)}
        if not part:
            environment["WEBBUILD_CONFORMANCE"] = "all"
        process = subprocess.run(TEST, cwd=REPOSITORY / "tests_e2e", env=environment)
        if not report.exists():
            raise SystemExit(process.returncode or 1)
        counted = json.loads(report.read_text())
    rows = table(counted["hosts"])
    print(rows)
    if not part:
        PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + "\n" + rows)
    print(json.dumps(counted))
    raise SystemExit(process.returncode)


if __name__ == "__main__":
    main()
