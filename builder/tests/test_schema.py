"""The pack's formats: generated files, readers, checks, and 10,000 damaged inputs."""

from __future__ import annotations

import copy
import json
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from toy_pack import write_toy_pack
from webbuild.errors import (
    FormatVersionError,
    InvalidProgramError,
    NotAPackError,
    WebbuildError,
)
from webbuild.schema.check import check
from webbuild.schema.expression import evaluate, symbols_of
from webbuild.schema.generate import GENERATED, stale
from webbuild.schema.program import Expr
from webbuild.schema.read import read_kernels, read_manifest, read_program, read_tensor_cache

Documents = dict[str, Any]
NAMES = {
    "manifest": "pack.json",
    "program": "program.json",
    "kernels": "kernels.json",
    "tensors": "tensor-cache.json",
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    folder = tmp_path_factory.mktemp("toy")
    write_toy_pack(folder)
    return {key: json.loads((folder / name).read_text()) for key, name in NAMES.items()}


def _read(files: dict[str, bytes]) -> None:
    check(
        read_manifest(files["manifest"]),
        read_program(files["program"]),
        read_kernels(files["kernels"]),
        read_tensor_cache(files["tensors"]),
    )


def _encode(documents: Documents) -> dict[str, bytes]:
    return {key: json.dumps(document).encode() for key, document in documents.items()}


def test_generated_files_are_fresh() -> None:
    assert stale() == [], "run `make generate`"


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        (7, 7),
        ("tokens", 20),
        (("+", "tokens", 3), 23),
        (("-", 3, "tokens"), -17),
        (("*", ("+", 1, 2), "tokens"), 60),
        (("//", ("+", "tokens", 15), 16), 2),
        (("//", ("-", 3, "tokens"), 16), -2),
        (("%", "tokens", 16), 4),
        (("%", ("-", 0, 1), 16), 15),
        (("min", "tokens", 16), 16),
        (("max", "tokens", 16), 20),
    ],
)
def test_expressions(expr: Expr, value: int) -> None:
    assert evaluate(expr, {"tokens": 20}) == value


@pytest.mark.parametrize("expr", ["pages", ("//", 1, 0), ("%", 1, "zero"), ("*", 2**40, 2**40)])
def test_expressions_without_a_value(expr: Expr) -> None:
    with pytest.raises(InvalidProgramError):
        evaluate(expr, {"zero": 0})


def test_symbols_of_an_expression() -> None:
    assert list(symbols_of(("+", "a", ("*", 2, ("min", "b", "a"))))) == ["a", "b", "a"]


def test_the_toy_pack_passes(documents: Documents) -> None:
    _read(_encode(documents))


def _launch(documents: Documents, label: str) -> Any:
    launches = documents["program"]["tiers"]["f32"]["functions"]["prefill"]["launches"]
    return next(launch for launch in launches if launch["label"] == label)


def _tier(documents: Documents) -> Any:
    return documents["program"]["tiers"]["f32"]


def _kernel(documents: Documents) -> Any:
    return next(iter(documents["kernels"]["kernels"].values()))


Change = Callable[[Documents], Any]


def _alternative(**change: Any) -> Change:
    """Gives `embed` an alternative; `kernel` by the name of one or by its id."""

    def apply(documents: Documents) -> None:
        launch = _launch(documents, "embed")
        alternative = {"kernel": launch["kernel"], "grid": launch["grid"]} | change
        if alternative["kernel"] == "head":
            alternative["kernel"] = _launch(documents, "head")["kernel"]
        launch["alternatives"] = [alternative]

    return apply


WRONG: dict[str, tuple[Change, str]] = {
    "file twice": (lambda d: d["manifest"]["files"].append(d["manifest"]["files"][0]), "twice"),
    "no program file": (lambda d: d["manifest"]["files"].pop(0), "0 files of role 'program'"),
    "unlisted shard": (lambda d: d["manifest"]["files"].pop(3), "not those of pack.json"),
    "shard size": (lambda d: d["tensors"]["records"][0].update(nbytes=1), "not those of pack"),
    "tensor too long": (
        lambda d: d["tensors"]["records"][0]["records"][2].update(byteOffset=9999),
        "'head'.*not fit",
    ),
    "tensor shape": (
        lambda d: d["tensors"]["records"][0]["records"][0].update(shape=[11, 4]),
        "'table'.*its shape 176",
    ),
    "segment of no tensor": (
        lambda d: d["program"]["segments"][0].update(tensor="x"),
        "segment 0: no tensor 'x'",
    ),
    "segment too long": (
        lambda d: d["program"]["segments"][3].update(nbytes=4000),
        "segment 3: ends at byte",
    ),
    "segment offset": (
        lambda d: d["program"]["segments"][2].update(offset=2),
        "segment 2: does not start at a multiple of 4",
    ),
    "transform of f32": (
        lambda d: d["program"]["segments"][0].update(transform="f16_to_f32"),
        "no float16",
    ),
    "unknown symbol": (
        lambda d: _launch(d, "embed").update(grid=["batch", 1, 1]),
        "launch 'embed': unknown symbol 'batch'",
    ),
    "huge grid": (
        lambda d: _launch(d, "embed").update(grid=[["*", "tokens", 10**6], 1, 1]),
        "a grid of 8000000",
    ),
    "symbol of the wrong scope": (
        lambda d: d["program"]["symbols"][0].update(scope="load"),
        "symbol 'tokens'",
    ),
    "symbol missing": (lambda d: d["program"]["symbols"].pop(3), "'q_tiles'.* missing"),
    "symbol without a bound": (
        lambda d: d["program"]["symbols"][0].update(max=None),
        "no positive maximum",
    ),
    "chunk differs": (
        lambda d: d["manifest"]["limits"].update(prefill_chunk=9),
        "max ≠ prefill_chunk",
    ),
    "too few outs": (
        lambda d: d["program"]["symbols"][2].update(max=1),
        "symbol 'outs': max < max_batch",
    ),
    "unknown input": (
        lambda d: d["program"]["inputs"][0].update(name="mood"),
        "input 'mood': is none that hosts can fill",
    ),
    "input type": (lambda d: d["program"]["inputs"][0].update(dtype="u32"), "is u32"),
    "kernel id": (lambda d: _kernel(d).update(wgsl="fn main() {}"), "has id"),
    "workgroup size": (lambda d: _kernel(d).update(workgroup_size=[64, 8, 1]), "workgroup size"),
    "workgroup memory": (lambda d: _kernel(d).update(workgroup_bytes=16385), "16 KiB"),
    "kernel bindings": (lambda d: _kernel(d).update(bindings=["read"] * 11), "11 buffers"),
    "kernel feature": (lambda d: _kernel(d).update(features=["magic"]), "'magic'"),
    "no such kernel": (lambda d: _launch(d, "embed").update(kernel="0"), "no kernel '0'"),
    "no such alternative": (_alternative(kernel="0"), "no kernel '0'"),
    "alternative of another shape": (_alternative(kernel="head"), "other bindings or parameters"),
    "alternative's grid": (_alternative(grid=["tokens", "beams", 1]), "'beams'"),
    "no such segment": (
        lambda d: _launch(d, "embed")["bindings"][2].update(segment=4),
        "no segment 4",
    ),
    "no such storage": (
        lambda d: _launch(d, "embed")["bindings"][3].update(index=2),
        "no storage 2",
    ),
    "no such buffer": (
        lambda d: _launch(d, "embed")["bindings"][1].update(name="ids"),
        "no buffer 'ids'",
    ),
    "no such input": (
        lambda d: _launch(d, "head")["bindings"][1].update(name="rows"),
        "no input 'rows'",
    ),
    "too few bindings": (lambda d: _launch(d, "embed")["bindings"].pop(), "3 bindings, not 4"),
    "weight written": (
        lambda d: _launch(d, "embed")["bindings"].__setitem__(3, {"kind": "weight", "segment": 0}),
        "writes a weight",
    ),
    "input written": (
        lambda d: _launch(d, "embed")["bindings"].__setitem__(
            3, {"kind": "input", "name": "slots"}
        ),
        "writes the input",
    ),
    "read and written": (
        lambda d: _launch(d, "layers.0.append")["bindings"].__setitem__(
            0, {"kind": "buffer", "name": "kv_k.0"}
        ),
        "for reading and for writing",
    ),
    "no parameter block": (lambda d: _launch(d, "embed").update(params=9), "no parameter block 9"),
    "parameters missing": (lambda d: _launch(d, "embed").update(params=None), "wants some"),
    "parameter types": (lambda d: _launch(d, "embed").update(params=1), "has parameters"),
    "parameter overflow": (
        lambda d: _tier(d)["functions"]["prefill"]["params"][0][0].update(value=2**32),
        "does not fit u32",
    ),
    "feature not required": (
        lambda d: d["program"]["tiers"]["f16"].update(requires=[]),
        "which the tier does not require",
    ),
    "storage over 128 MiB": (
        lambda d: _tier(d).update(storages=[2**28, 4]),
        "storage 0: has 268435456 bytes",
    ),
    "empty storage": (lambda d: _tier(d).update(storages=[["-", 4, 4], 4]), "has 0 bytes"),
    "buffer missing": (lambda d: _tier(d)["buffers"].pop(2), "no f32 buffer 'logits'"),
    "function missing": (lambda d: _tier(d)["functions"].pop("decode"), "no function .*decode"),
    "tier without memory": (lambda d: d["manifest"]["memory"].pop("f32"), "other tiers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_do_not_agree_are_refused(documents: Documents, name: str) -> None:
    changed = copy.deepcopy(documents)
    change, message = WRONG[name]
    change(changed)
    with pytest.raises((InvalidProgramError, NotAPackError), match=message):
        _read(_encode(changed))


@pytest.mark.parametrize("key", ["manifest", "program", "kernels"])
@pytest.mark.parametrize("version", [0, 99, "1", None, 1.5, [1]])
def test_other_format_versions_are_named(documents: Documents, key: str, version: object) -> None:
    files = _encode(documents | {key: documents[key] | {"format_version": version}})
    with pytest.raises(FormatVersionError, match=f"{NAMES[key]} has format version"):
        _read(files)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"[]", b"null", b"[" * 100_000, b'{"format_version":1}', b"{}"],
    ids=["empty", "no UTF-8", "list", "null", "deep", "bare", "object"],
)
@pytest.mark.parametrize("key", NAMES)
def test_other_files_are_named(documents: Documents, key: str, data: bytes) -> None:
    with pytest.raises(WebbuildError, match=NAMES[key]):
        _read(_encode(documents) | {key: data})


def test_deep_expressions_are_named(documents: Documents) -> None:
    depth = 5000
    deep = '["+",1,' * depth + "1" + "]" * depth
    text = json.dumps(documents["program"]).replace('["*", "tokens", 12]', deep, 1)
    with pytest.raises(InvalidProgramError, match=r"program\.json"):
        _read(_encode(documents) | {"program": text.encode()})


# --- fuzzing -----------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 64, 65536, 2**31, 2**53, 2**64, -(2**63), 10**30),
    *(0.5, -1.5, 1e300, "", "f16", "f32", "tokens", "pages", "read", "read_write", "weight", "é"),
    *([], {}, [1], ["+", 1, "seqs"], ["//", "tokens", 0], ["-", 0, "tokens"], [[]], {"kind": 1}),
)


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) under `node`."""
    found: list[tuple[Any, Any]] = []
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        found.append((node, key))
        if isinstance(node[key], dict | list):
            found += _places(node[key])
    return found


def _mutate(document: Any, rng: random.Random, values: Sequence[Any] = VALUES) -> Any:
    """A copy with one to three values replaced, removed, doubled or exchanged."""
    changed = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(_places(changed) or [(changed, "x")])
        action = rng.randrange(5)
        other_container, other_key = rng.choice(_places(changed) or [(changed, "x")])
        if action == 0 and key in container:
            del container[key]
        elif action == 1 and isinstance(container, list):
            container.insert(rng.randrange(len(container) + 1), copy.deepcopy(rng.choice(values)))
        elif action == 2 and other_container:
            container[key] = copy.deepcopy(other_container[other_key])
        elif action == 3 and isinstance(container, dict):
            container[rng.choice(("x", "kind", "tokens"))] = container.pop(key, None)
        else:
            container[key] = copy.deepcopy(rng.choice(values))
    return changed


def _damage(data: bytes, rng: random.Random) -> bytes:
    """A copy with bytes changed, removed or inserted."""
    at, length = rng.randrange(len(data)), rng.randrange(1, 9)
    match rng.randrange(3):
        case 0:
            return data[:at] + rng.randbytes(length) + data[at + length :]
        case 1:
            return data[:at] + data[at + length :]
        case _:
            return data[:at]


def test_ten_thousand_damaged_inputs_give_named_errors_only(documents: Documents) -> None:
    rng = random.Random(20)
    files = _encode(documents)
    read: dict[str, Callable[[bytes], Any]] = {
        "manifest": read_manifest,
        "program": read_program,
        "kernels": read_kernels,
        "tensors": read_tensor_cache,
    }
    whole = {key: read[key](data) for key, data in files.items()}
    refused = 0
    for i in range(10_000):
        key = rng.choice(("program", "program", "manifest", "kernels", "tensors"))
        if i % 4:
            data = json.dumps(_mutate(documents[key], rng)).encode()
        else:
            data = _damage(files[key], rng)
        try:
            check(**{**whole, key: read[key](data)})
        except WebbuildError as error:
            refused += 1
            assert len(str(error)) > 10
    assert refused > 8_000


def test_the_browser_reads_what_python_reads(documents: Documents, tmp_path: Path) -> None:
    """The generated validator agrees with the models, but that it wants every field written."""
    rng = random.Random(21)
    guards = {
        "manifest": ("isPackManifest", read_manifest),
        "program": ("isProgram", read_program),
        "kernels": ("isKernelFile", read_kernels),
        "tensors": ("isTensorCache", read_tensor_cache),
    }
    small = [x for x in VALUES if not isinstance(x, int | float) or abs(x) < 2**53]
    cases = []
    for i in range(2_000):
        key = rng.choice(list(guards))
        document = documents[key] if i < 50 else _mutate(documents[key], rng, small)
        try:
            guards[key][1](json.dumps(document).encode())
            error = ""
        except WebbuildError as caught:
            error = str(caught)
        cases.append((guards[key][0], document, error))
    (tmp_path / "cases.json").write_text(json.dumps([case[:2] for case in cases]))
    script = f"""
        import * as validate from {json.dumps((GENERATED / "validate.js").as_uri())};
        import {{ readFileSync }} from "node:fs";
        const cases = JSON.parse(readFileSync({json.dumps(str(tmp_path / "cases.json"))}, "utf8"));
        console.log(JSON.stringify(cases.map(([guard, document]) =>
          verdict(guard, document))));
        function verdict(guard, document) {{
          if (!validate[guard](document)) return validate[guard].errors[0];
          if (guard !== "isProgram") return null;
          const check = validate.isProgramFunction;
          const tiers = Object.values(document.tiers);
          const functions = tiers.flatMap((tier) => Object.values(tier.functions));
          return functions.every((fn) => check(fn)) ? null : check.errors[0];
        }}
    """
    command = ["node", "--input-type=module", "--eval", script]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    verdicts = json.loads(output)
    assert sum(verdict is None for verdict in verdicts) >= 50
    for (guard, document, error), verdict in zip(cases, verdicts, strict=True):
        if verdict is not None and verdict["keyword"] == "required" and not error:
            continue
        assert (verdict is None) == (error == ""), (guard, error, verdict, document)
