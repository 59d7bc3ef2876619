"""What figures compare: builds of the project, and packs of synthetic models made by them.

Everything is kept under .cache/figures: a source by its name, a pack by the code that made it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "figures"

#: The last commit before decode and prefill were made fast.
FIRST_SLICE = "7758129"


@dataclass(frozen=True, slots=True)
class Build:
    """A checkout of the project with its runtime built."""

    name: str
    root: Path

    @property
    def runtime(self) -> Path:
        return self.root / "runtime_js" / "dist"

    def pack(self, model: str, quant: str = "q4f16_1", source: Path | None = None) -> Path:
        """The pack that this build makes of `source`, else of a synthetic `model` (an alias)."""
        out = CACHE / "packs" / f"{self.name}-{self._digest()}" / f"{model}-{quant}"
        if not out.is_dir():
            source = source or synthetic_source(model)
            for old in CACHE.glob(f"packs/{self.name}-*/{model}-{quant}"):
                shutil.rmtree(old)
            out.parent.mkdir(parents=True, exist_ok=True)
            self._webbuild("pack", str(source), "-o", str(out), "--quant", quant)
        return out

    def _digest(self) -> str:
        """Of all code that packs depend on."""
        digest = hashlib.sha256()
        for path in sorted(_code(self.root)):
            digest.update(f"{path.relative_to(self.root)}\0".encode() + path.read_bytes())
        return digest.hexdigest()[:12]

    def _webbuild(self, *arguments: str) -> None:
        # Before the editable installation, so that it is this build's code that runs.
        path = os.pathsep.join((str(self.root / "builder"), str(self.root)))
        print(f"webbuild {' '.join(arguments)}", file=sys.stderr)
        subprocess.run(
            [sys.executable, "-m", "webbuild", *arguments, "--quiet"],
            check=True,
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": path},
        )


def this_build() -> Build:
    """The checkout that this file is in. Its runtime must be built (`make build-runtime`)."""
    return Build("this", REPOSITORY)


def first_slice() -> Build:
    """The project at FIRST_SLICE, in a worktree of its own, built once."""
    build = Build("first-slice", CACHE / "first-slice")
    if not build.root.is_dir():
        _run("git", "worktree", "prune")
        _run("git", "worktree", "add", "--detach", str(build.root), FIRST_SLICE)
    if not (build.runtime / "index.js").is_file():
        # Node finds the packages of the checkout that the worktree lies in.
        _run("node", str(build.root / "runtime_js" / "build.mjs"))
    return build


def synthetic_source(model: str) -> Path:
    """A Hugging Face folder with the shape of `model` (an alias) and random weights."""
    out = CACHE / "sources" / model
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        this_build()._webbuild("synth", model, "-o", str(out))
    return out


def _run(*command: str) -> None:
    subprocess.run(command, check=True, cwd=REPOSITORY, stdout=sys.stderr)


def _code(root: Path) -> Iterator[Path]:
    parts = ("compile", "models", "pack", "quantize", "schema", "sources", "weights")
    for folder in (*(f"builder/webbuild/{part}" for part in parts), "webgpu_kernels"):
        for pattern in ("*.py", "*.wgsl"):
            yield from (root / folder).rglob(pattern)
