"""Records of tunings: the database, and replay to the same kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from webgpu_kernels import lower
from webgpu_kernels.attrs import LinearAttrs, parse
from webgpu_kernels.records import (
    RecordsError,
    TuningRecord,
    merge,
    read_records,
    shipped_records,
    write_records,
)
from webgpu_kernels.registry import KERNELS
from webgpu_kernels.variation import lower_as, lower_with, named, vary

GEMM = next(row for row in KERNELS if row.name == "gemm")
ATTRS = {"N": 40, "K": 64, "quant": "q4", "mode": "gemm"}
BASE = GEMM.tunings[0].name


def record(**changes: object) -> TuningRecord:
    fields: dict[str, object] = {
        "vendor": "acme",
        "architecture": "one",
        "tier": "f32",
        "key": "gemm_q4 N=40 K=64",
        "tuning": f"{BASE}:rows=48",
        "microseconds": 10.0,
        "baseline": 20.0,
        "version": "0.1.0",
    }
    return TuningRecord.model_validate({**fields, **changes})


def test_a_variation_replays_from_its_name() -> None:
    attrs = parse(LinearAttrs, ATTRS)
    tuning = vary(GEMM, BASE, rows=48)
    again = named(GEMM, tuning.name)
    assert again is not None and (again.name, again.suits) == (f"{BASE}:rows=48", "measured")
    first, second = (lower_as(GEMM, one, attrs, "f32") for one in (tuning, again))
    assert first is not None and first == second
    default = lower("linear", ATTRS, "f32")[0]
    assert first[0].wgsl != default.wgsl
    assert first[0].tuning_key == default.tuning_key
    assert (first[0].bindings, first[0].params) == (default.bindings, default.params)


def test_a_variation_that_changes_nothing_is_the_rows_own() -> None:
    own = next(tuning for tuning in GEMM.tunings if "rows" in tuning.constants)
    assert vary(GEMM, own.name, rows=own.constants["rows"]) is own
    with pytest.raises(KeyError, match="no tuning gone"):
        vary(GEMM, "gone", rows=1)


def test_more_alternatives_come_last_and_own_ones_once() -> None:
    plain = lower("linear", ATTRS, "f32")
    assert lower_with("linear", ATTRS, "f32", lambda key: ()) == plain
    own = [one.tuning for one in plain[0].alternatives]
    names = [BASE, f"{BASE}:rows=48", f"{BASE}:rows=48", "gone", f"{BASE}:colour=3", "no name!"]
    asked: list[str] = []

    def advised(key: str) -> list[str]:
        asked.append(key)
        return names

    more = lower_with("linear", ATTRS, "f32", advised)
    assert asked == [plain[0].tuning_key]
    assert [one.tuning for one in more[0].alternatives] == [*own, f"{BASE}:rows=48"]
    assert more[0].alternatives[-1].suits == "measured"


def test_a_variation_without_code_of_its_own_is_left_out() -> None:
    """`rows64` with the rows of another tuning is that one, by another name."""
    plain = lower("linear", ATTRS, "f32")
    assert lower_with("linear", ATTRS, "f32", lambda key: ["rows64:rows=32"]) == plain


def test_every_piece_of_a_cut_matrix_gets_the_alternative() -> None:
    cut = {**ATTRS, "row_splits": [(0, 24), (24, 40)]}
    launches = lower_with("linear", cut, "f32", lambda key: [f"{BASE}:rows=48"])
    found = [launch.alternatives[-1] for launch in launches]
    assert [(one.tuning, one.rows) for one in found] == [
        (f"{BASE}:rows=48", (0, 24)),
        (f"{BASE}:rows=48", (24, 40)),
    ]


def test_a_database_is_sorted_and_keeps_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    old = [record(), record(architecture="two"), record(key="gemm_q4 N=8 K=64")]
    write_records(path, merge(old, [record(microseconds=7.0), record(architecture="")]))
    got = read_records(path)
    assert [(one.architecture, one.key) for one in got] == [
        ("", "gemm_q4 N=40 K=64"),
        ("one", "gemm_q4 N=40 K=64"),
        ("one", "gemm_q4 N=8 K=64"),
        ("two", "gemm_q4 N=40 K=64"),
    ]
    assert got[1].microseconds == 7.0
    assert len(json.loads(path.read_text())) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["records.json"]


@pytest.mark.parametrize(
    "changes",
    [
        {"vendor": ""},
        {"tier": "f64"},
        {"key": "gemm N=-3"},
        {"key": "gemm N=0"},
        {"microseconds": 0.0},
        {"baseline": float("inf")},
        {"more": 1},
        {"tuning": ""},
    ],
)
def test_what_is_no_record(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        record(**changes)


def test_a_broken_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    path.write_text('[{"vendor": 3}]')
    with pytest.raises(RecordsError, match=r"records\.json .*0\.vendor"):
        read_records(path)


def test_shipped_records_mean_something() -> None:
    rows = {row.name: row for row in KERNELS}
    for one in shipped_records():
        variant = one.key.split(" ")[0].split(".")[0]
        row = next(row for name, row in rows.items() if variant in (name, f"{name}_q4"))
        assert named(row, one.tuning) is not None, one
    assert merge((), shipped_records()) == list(shipped_records())
