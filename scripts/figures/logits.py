"""make figure-logits: logits of every tiny config against transformers in float32.

A table on the way; the last line is one JSON object.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from webbuild.native.device import open_device
from webbuild.reference import BOUNDS, CASES, climb


def main() -> int:
    rows = []
    within = True
    print("| config | quantisation | kernels | f32 | f16 |\n|---|---|---|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            errors = climb(case, Path(folder))
            within &= all(error <= BOUNDS[tier] for tier, error in errors.items())
            kernels = "library" if case.library else "TVM"
            rows.append(
                {"config": case.config, "quantization": case.quantization, "kernels": kernels}
                | {"max_relative_error": errors}
            )
            cells = [f"{errors[tier]:.1e}" if tier in errors else "–" for tier in ("f32", "f16")]
            line = [case.config, case.quantization, kernels, *cells]
            print("| " + " | ".join(line) + " |", flush=True)
    result = {"adapter": open_device().adapter, "bounds": BOUNDS, "within": within, "rows": rows}
    print(json.dumps(result))
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
