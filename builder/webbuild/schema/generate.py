"""Writes what the runtime knows of the formats: `python -m webbuild.schema.generate [--check]`.

Into runtime_js/src/generated: a JSON Schema for each file of a pack and for a benchmark's report,
and from those, by scripts/generate_types.mjs (needs `npm ci`), TypeScript types and, for what the
runtime reads, a validator without `eval`; and the WGSL that both languages run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .base import Format
from .bench_report import BenchReport
from .kernels import KernelFile
from .pack import PackManifest
from .program import Program
from .tensor_cache import TensorCache

FORMATS: dict[str, type[Format]] = {
    "pack": PackManifest,
    "program": Program,
    "kernels": KernelFile,
    "tensor_cache": TensorCache,
    "bench_report": BenchReport,
}
REPOSITORY = Path(__file__).resolve().parents[3]
GENERATED = REPOSITORY / "runtime_js" / "src" / "generated"


def generate(folder: Path) -> None:
    """Writes all generated files into `folder`, which must exist."""
    for name, model in FORMATS.items():
        schema = model.model_json_schema(mode="serialization")
        text = json.dumps(_without_titles(schema), indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.schema.json").write_text(text, encoding="utf-8")
    kernels = REPOSITORY / "builder/webbuild/bench/bandwidth.wgsl"
    text = json.dumps(kernels.read_text("utf-8"), ensure_ascii=False)
    (folder / "bandwidth.ts").write_text(
        "// Made from builder/webbuild/bench/bandwidth.wgsl by `make generate`; do not edit.\n"
        f"export const BANDWIDTH_WGSL =\n  {text};\n",
        encoding="utf-8",
    )
    script = REPOSITORY / "scripts" / "generate_types.mjs"
    subprocess.run(["node", str(script), str(folder)], check=True, cwd=REPOSITORY)


def stale() -> list[str]:
    """Names of generated files that differ from what `generate` would write now."""
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        generate(fresh)
        names = {path.name for path in fresh.iterdir()}
        if GENERATED.is_dir():
            names |= {path.name for path in GENERATED.iterdir()}
        return sorted(name for name in names if _bytes(fresh / name) != _bytes(GENERATED / name))


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _without_titles(node: object, properties: bool = False) -> object:
    """Drops pydantic's `title`s (they would each become a type alias); keeps fields named so."""
    if isinstance(node, dict):
        return {
            key: _without_titles(value, properties=key in ("properties", "$defs"))
            for key, value in node.items()
            if properties or key != "title"
        }
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    return node


def main() -> int:
    if "--check" in sys.argv[1:]:
        if names := stale():
            print(f"stale in {GENERATED}: {', '.join(names)}; run `make generate`", file=sys.stderr)
        return 1 if names else 0
    GENERATED.mkdir(parents=True, exist_ok=True)
    generate(GENERATED)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
