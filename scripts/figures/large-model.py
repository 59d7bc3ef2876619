"""make figure-large-model: a pack of full size loads in Chromium, from network and from cache.

Packs Llama-3-8B with random weights (or takes --pack), loads it twice in a browser and generates
four tokens after the second time. Needs 30 GB in --dir; deletes what it wrote. Before: `make setup
build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.figures.pages import assemble_site, run_script


def webbuild(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "webbuild", *arguments, "--quiet"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="llama-3-8b", metavar="MODEL")
    parser.add_argument("--pack", type=Path, help="a pack that is there already")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--context", type=int, default=256)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        site = Path(folder) / "site"
        pack = args.pack
        if not pack:
            source, pack = Path(folder) / "source", Path(folder) / "pack"
            webbuild("synth", args.model, "-o", str(source))
            webbuild("pack", str(source), "-o", str(pack))
            shutil.rmtree(source)
        assemble_site(site, pack)
        result = run_script("load_in_chromium.mjs", site, str(args.tokens), str(args.context))
    columns = list(result["loads"][0])
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for load in result["loads"]:
        print("| " + " | ".join(str(load[column]) for column in columns) + " |")
    print(json.dumps({"model": args.model if not args.pack else args.pack.name, **result}))


if __name__ == "__main__":
    main()
