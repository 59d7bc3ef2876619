"""The safetensors reader: every way to break a file has its error, and no other comes out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints import header_and_data, write_safetensors
from webbuild.errors import SafetensorsError
from webbuild.sources.safetensors import parse_header, read_header

A = np.arange(12, dtype=np.float32).reshape(3, 4)
B = np.arange(6, dtype=np.float16).reshape(6)
C = np.arange(8, dtype=np.float32).astype(ml_dtypes.bfloat16).reshape(2, 2, 2)


def test_reads_what_the_reference_implementation_writes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": A, "b": B, "empty": np.zeros((0, 4), np.float32)}, path, {"format": "pt"})
    tensors = read_header(path)
    assert set(tensors) == {"a", "b", "empty"}
    np.testing.assert_array_equal(tensors["a"].rows(0, 3), A)
    np.testing.assert_array_equal(tensors["b"].rows(0, 6), B)
    assert list(tensors["empty"].blocks(100)) == []


def test_reads_row_blocks(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": A, "c": C})
    tensors = read_header(path)
    assert list(tensors["a"].blocks(32)) == [(0, 2), (2, 3)]
    assert list(tensors["a"].blocks(1)) == [(0, 1), (1, 2), (2, 3)]
    np.testing.assert_array_equal(tensors["a"].rows(1, 3), A[1:])
    piece = tensors["c"].rows(1, 2)
    assert piece.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(piece.view(np.uint16), C[1:].view(np.uint16))


def change(header: dict[str, Any], **fields: Any) -> None:
    header["a"] |= fields


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a hole": (lambda h: change(h, data_offsets=[4, 52]), "leaves a hole"),
    "an overlap": (lambda h: h["b"].update(data_offsets=[40, 52]), "overlaps"),
    "a wrong size": (lambda h: change(h, shape=[3, 5]), "cannot have 48 bytes"),
    "an unknown type": (lambda h: change(h, dtype="F33"), "unknown type 'F33'"),
    "a type that is no text": (lambda h: change(h, dtype=["F32"]), "unknown type"),
    "a negative size": (lambda h: change(h, shape=[-3, -4]), "impossible shape"),
    "a fraction": (lambda h: change(h, shape=[3.0, 4]), "impossible shape"),
    "a boolean": (lambda h: change(h, shape=[12, True]), "impossible shape"),
    "a huge size": (lambda h: change(h, shape=[2**70, 0]), "impossible shape"),
    "reversed offsets": (lambda h: change(h, data_offsets=[48, 0]), "impossible data_offsets"),
    "three offsets": (lambda h: change(h, data_offsets=[0, 48, 60]), "impossible data_offsets"),
    "a missing field": (lambda h: h["a"].pop("shape"), "needs dtype, shape and data_offsets"),
    "a field too many": (lambda h: change(h, order="C"), "needs dtype, shape and data_offsets"),
    "no record": (lambda h: h.update(a=[1]), "needs dtype, shape and data_offsets"),
    "odd metadata": (lambda h: h.update(__metadata__={"n": 1}), "__metadata__"),
    "bytes that nobody claims": (lambda h: h.pop("b"), "12 bytes that no tensor claims"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_headers(tmp_path: Path, what: str) -> None:
    damage, message = BROKEN[what]
    header, data = header_and_data({"a": A, "b": B})
    damage(header)
    with pytest.raises(SafetensorsError, match=message):
        parse_header(json.dumps(header).encode(), len(data), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"\x10\0\0\0\0\0\0\0{}", "truncated"),
        (b"\xff\xff\xff\xff\xff\0\0\0{}", "over the format's limit"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x02\0\0\0\0\0\0\0[]", "no JSON object"),
        (b"\x02\0\0\0\0\0\0\0{x", "not valid JSON"),
        (b"\x01\0\0\0\0\0\0\0\xff", "not valid JSON"),
        (b"\x0d\0\0\0\0\0\0\0" + b'{"a":1,"a":2}', "'a' appears twice"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(SafetensorsError, match=message):
        read_header(path)


def test_truncated_data(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": A})
    tensor = read_header(path)["a"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SafetensorsError, match="is truncated: tensors take 48 bytes"):
        read_header(path)
    with pytest.raises(SafetensorsError, match="truncated while being read"):
        tensor.rows(0, 3)


def test_other_types_are_listed_but_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"ids": np.arange(4)})
    with pytest.raises(SafetensorsError, match="'ids' has type I64"):
        read_header(path)["ids"].rows(0, 4)


def test_fuzz(tmp_path: Path) -> None:
    """10,000 damaged headers: each is read or refused by name."""
    fuzz = random.Random(0)
    header, data = header_and_data({f"layer.{i}": A for i in range(4)} | {"b": B, "c": C})
    text = json.dumps(header).encode()
    tokens = [b"[", b"]", b"{", b"}", b'"', b",", b":", b"-1", b"1e999", b"null", b"true", b"\\u",
              b"9" * 30, b"9" * 5000, b"\xff", b"\0", b"[" * 3000, b'"dtype":', b"NaN"]  # fmt: skip
    refused = 0
    for _ in range(10_000):
        mutant = bytearray(text)
        for _ in range(fuzz.randint(1, 4)):
            at = fuzz.randrange(len(mutant) + 1)
            match fuzz.randrange(4):
                case 0:
                    mutant[at : at + 1] = bytes([fuzz.randrange(256)])
                case 1:
                    mutant[at:at] = fuzz.choice(tokens)
                case 2:
                    del mutant[at : at + fuzz.randint(1, 20)]
                case 3:
                    digits = [i for i, byte in enumerate(mutant) if chr(byte).isdigit()]
                    mutant[fuzz.choice(digits)] = fuzz.choice(b"0123456789")
            if len(mutant) == 0:
                break
        try:
            tensors = parse_header(bytes(mutant), len(data), tmp_path)
        except SafetensorsError:
            refused += 1
        else:
            last = 8 + len(mutant) + len(data)
            assert all(0 <= t.offset <= t.offset + t.nbytes <= last for t in tensors.values())
    assert refused > 8000
