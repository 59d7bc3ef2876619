"""What figures measure in a browser: sites, and the scripts beside this file that open them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.figures.builds import CACHE, REPOSITORY, this_build

DEMO = REPOSITORY / "demo_site" / "public" / "packs" / "demo"


@contextmanager
def temporary_site(pack: Path) -> Iterator[Path]:
    """A site of `pack` as `assemble_site` makes it, which is gone in the end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        site = Path(folder) / "site"
        assemble_site(site, pack)
        yield site


def run_script(name: str, *arguments: str | Path, stdin: str | None = None) -> Any:
    """Runs a script with Node. What it says in the last line of its output, which is JSON."""
    process = subprocess.run(
        ["node", str(REPOSITORY / "scripts" / "figures" / name), *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


def assemble_site(folder: Path, pack: Path) -> None:
    """Makes `folder` a site: a bare page, the built package (webbuild/) and a pack (pack/)."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(pack, folder / "pack", copy_function=_link_or_copy, dirs_exist_ok=True)
    shutil.copytree(this_build().runtime, folder / "webbuild")
    page = '<!doctype html><title>Figures</title><link rel="icon" href="data:,">'
    (folder / "index.html").write_text(page, "utf-8")


def endless(manifest: Path) -> None:
    """No token ends an answer of a copied pack.json; the files of assembled sites are links."""
    contents = json.loads(manifest.read_text("utf-8"))
    contents["tokens"]["eos"] = []
    manifest.unlink()
    manifest.write_text(json.dumps(contents), "utf-8")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
