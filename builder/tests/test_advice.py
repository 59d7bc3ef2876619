"""Records of tunings in packs: what the compiler takes of them, and what executors make of it."""

from __future__ import annotations

from functools import cache

from webbuild.compile import Compiled, compile_model
from webbuild.native.choose import advice_of, choose_kernels
from webbuild.reference import TINY
from webbuild.schema.tuning import AdapterKind
from webgpu_kernels.records import TuningRecord

CONFIG = TINY["llama-gqa"]
FOUND = "default:team_rows=12"


def record(key: str, tuning: str, architecture: str = "one") -> TuningRecord:
    return TuningRecord(
        vendor="acme",
        architecture=architecture,
        tier="f32",
        key=key,
        tuning=tuning,
        microseconds=1.0,
        baseline=2.0,
        version="0.1.0",
    )


@cache
def plain() -> Compiled:
    return compile_model(CONFIG, "q4f16_1", records=[])


def key_of(part: str) -> str:
    """The tuning key of a decode launch whose label ends so."""
    launches = plain().program.tiers["f32"].functions["decode"].launches
    launch = next(one for one in launches if one.label.endswith(part))
    return plain().kernels.kernels[launch.kernel].tuning_key


def test_a_pack_holds_what_records_name_and_executors_take_it() -> None:
    head, down = key_of("head"), key_of("down_proj")
    near = down.replace("N=", "N=1")  # another shape of the same variant
    records = [
        record(head, FOUND),
        record(near, "default:team_rows=20"),
        record(head, "no-such-tuning", "two"),
        record("gemv_q4.unheard N=1 K=1", FOUND),
    ]
    compiled = compile_model(CONFIG, "q4f16_1", records=records)
    kept = [one.key for one in compiled.kernels.records]
    assert kept == [head, near, head]
    kernels = compiled.kernels.kernels
    tier = compiled.program.tiers["f32"]
    advice = advice_of(
        compiled.kernels.records, AdapterKind("acme", "one"), "f32", kernels.values()
    )
    chosen = choose_kernels(tier, kernels, set(), False, advice).functions["decode"].launches
    tunings = {one.label: kernels[one.kernel].tuning for one in chosen}
    assert tunings["head"] == FOUND
    assert tunings["layers.0.down_proj"] == "default:team_rows=20"
    found = next(kernel for kernel in kernels.values() if kernel.tuning == FOUND)
    assert found.suits == "measured"


def test_other_adapters_run_what_they_ran_before() -> None:
    compiled = compile_model(CONFIG, "q4f16_1", records=[record(key_of("head"), FOUND)])
    kernels = compiled.kernels.kernels
    tier = compiled.program.tiers["f32"]
    other = AdapterKind("other", "one")
    advice = advice_of(compiled.kernels.records, other, "f32", kernels.values())
    assert advice == {}
    for software in (False, True):
        with_records = choose_kernels(tier, kernels, set(), software, advice)
        before = choose_kernels(plain().program.tiers["f32"], kernels, set(), software)
        assert with_records == before


def test_library_ops_are_listed_once_for_each_tier() -> None:
    for tier in ("f16", "f32"):
        ops = [op for op in plain().ops if op.tier == tier]
        assert {op.op for op in ops} >= {"linear", "embed", "attention", "sample"}
        assert len({(op.op, str(sorted(op.attrs.items(), key=str))) for op in ops}) == len(ops)
