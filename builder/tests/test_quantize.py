"""Quantisations against slow twins that follow the definition one value at a time."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from webbuild.errors import NonFiniteWeightError, NotDivisibleError, UnknownQuantizationError
from webbuild.quantize import QUANTIZATIONS, Quantization, StoredArray, get_quantization
from webbuild.weights.parameter import Parameter

BF16 = ml_dtypes.bfloat16
DTYPES = [BF16, np.float16, np.float32]
Q4, Q8 = get_quantization("q4f16_1"), get_quantization("q8f16_1")
SCHEMES = pytest.mark.parametrize("scheme", [Q4, Q8], ids=["q4", "q8"])
BITS = {"q4f16_1": 4, "q8f16_1": 8}


def slow(
    scheme: Quantization, weight: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float16]]:
    """The group quantisations as their definition reads."""
    bits = BITS[scheme.name]
    most, per_word = 2 ** (bits - 1) - 1, 32 // bits
    values = weight.astype(np.float32)
    N, K = values.shape
    words = np.zeros((N, K // per_word), np.uint32)
    scales = np.zeros((N, K // 32), np.float16)
    for n in range(N):
        for g in range(K // 32):
            group = values[n, 32 * g : 32 * g + 32]
            scale = np.float16(np.abs(group).max() / np.float32(most))
            scales[n, g] = scale
            for i, w in enumerate(group):
                q = most
                if scale > 0:
                    ratio = float(w / np.float32(scale))
                    # Python rounds ties to even.
                    q = min(max(round(ratio + most), 0), 2 * most)
                at = 32 * g + i
                words[n, at // per_word] |= np.uint32(q << (bits * (at % per_word)))
    return words, scales


def assert_same(
    scheme: Quantization,
    actual: tuple[npt.NDArray[np.generic], ...],
    weight: npt.NDArray[np.generic],
) -> None:
    words, scales = slow(scheme, weight)
    np.testing.assert_array_equal(actual[1].view(np.uint16), scales.view(np.uint16))
    np.testing.assert_array_equal(actual[0], words)


@SCHEMES
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 32), (3, 64), (7, 96), (5, 1056)])
def test_groups_equal_their_definition(
    scheme: Quantization, dtype: npt.DTypeLike, shape: tuple[int, int]
) -> None:
    weight = np.random.default_rng(1).normal(0, 0.05, shape).astype(np.float32).astype(dtype)
    assert_same(scheme, scheme.encode("linear", weight, "w"), weight)


@settings(max_examples=200, deadline=None)
@given(
    bits=arrays(np.uint16, (2, 64), elements=st.integers(0, 0xFFFF)),
    dtype=st.sampled_from([BF16, np.float16]),
    scheme=st.sampled_from([Q4, Q8]),
)
def test_groups_equal_their_definition_for_any_bits(
    bits: npt.NDArray[np.uint16], dtype: npt.DTypeLike, scheme: Quantization
) -> None:
    weight = bits.view(dtype)
    try:
        encoded = scheme.encode("linear", weight, "w")
    except NonFiniteWeightError:
        values = weight.astype(np.float32)
        most = 2 ** (BITS[scheme.name] - 1) - 1
        assert not np.isfinite(values).all() or np.abs(values).max() / most > 65504
        return
    assert_same(scheme, encoded, weight)


@SCHEMES
@pytest.mark.parametrize("scale", [1e-2, 1e-3, 4.1e-4, 1e-5, 3e-7, 1e-8, 0.0])
def test_where_scales_lose_bits(scheme: Quantization, scale: float) -> None:
    """Scales below the smallest normal float16, down to zero."""
    weight = (np.random.default_rng(2).normal(size=(4, 64)) * scale).astype(np.float32)
    assert_same(scheme, scheme.encode("linear", weight, "w"), weight)


@pytest.mark.parametrize(("scheme", "word"), [(Q4, 0x77777777), (Q8, 0x7F7F7F7F)])
def test_zeros_stay_zero(scheme: Quantization, word: int) -> None:
    encoded = scheme.encode("linear", np.zeros((2, 64), np.float32), "w")
    assert (encoded[0] == word).all()
    assert (scheme.decode("linear", encoded) == 0).all()


# Of 8 bits, more values lie as near to a rounding boundary as float16 is fine.
@pytest.mark.parametrize(("scheme", "often"), [(Q4, 0.01), (Q8, 0.07)])
def test_groups_against_mlcs_arithmetic(scheme: Quantization, often: float) -> None:
    """MLC-LLM computes in float16 throughout: scales are equal, values hardly ever differ."""
    bits = BITS[scheme.name]
    most = 2 ** (bits - 1) - 1
    weight = np.random.default_rng(6).normal(0, 0.02, (64, 2048)).astype(np.float32).astype(BF16)
    half = weight.astype(np.float16).reshape(64, -1, 32)
    scales = np.abs(half).max(axis=2) / np.float16(most)
    ratio = np.rint(half / scales[..., None] + np.float16(most))
    q = np.clip(ratio, 0, 2 * most).astype(np.int32)
    words, ours = scheme.encode("linear", weight, "w")
    np.testing.assert_array_equal(ours, scales)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    steps = ((words.view(np.uint32)[..., None] >> shifts) & (2**bits - 1)).astype(np.int32)
    difference = np.abs(steps.reshape(q.shape) - q)
    assert difference.max() <= 1
    assert (difference != 0).mean() < often


@SCHEMES
def test_groups_across_chunks(scheme: Quantization) -> None:
    """More values than are handled at once, and a rest."""
    weight = np.random.default_rng(3).normal(size=(37, 8192)).astype(np.float32)
    whole = scheme.encode("linear", weight, "w")
    for n in (0, 31, 32, 36):
        assert_same(scheme, (whole[0][n : n + 1], whole[1][n : n + 1]), weight[n : n + 1])


@SCHEMES
@pytest.mark.parametrize("dtype", DTYPES)
def test_error_is_at_most_half_a_step(scheme: Quantization, dtype: npt.DTypeLike) -> None:
    weight = np.random.default_rng(4).normal(size=(16, 256)).astype(np.float32).astype(dtype)
    encoded = scheme.encode("linear", weight, "w")
    error = np.abs(scheme.decode("linear", encoded) - weight.astype(np.float32))
    step = np.repeat(encoded[1].astype(np.float32), 32, axis=1)
    # The largest of a group may be off by what its scale was rounded by, too.
    most = 2 ** (BITS[scheme.name] - 1) - 1
    assert (error <= step * (0.5 + most * 2**-11)).all()


def test_steps_of_q8_are_eighteen_times_finer() -> None:
    weight = np.random.default_rng(7).normal(size=(16, 256)).astype(np.float32)
    errors = [
        np.square(scheme.decode("linear", scheme.encode("linear", weight, "w")) - weight).mean()
        for scheme in (Q4, Q8)
    ]
    assert 17**2 < errors[0] / errors[1] < 19**2


def test_q4_nibble_order() -> None:
    row = np.array([-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7] + [0] * 17, np.float32)
    words, scales = Q4.encode("linear", row[None], "w")
    assert scales.tolist() == [[1.0]]
    assert [hex(int(word)) for word in words.view(np.uint32)[0]] == [
        "0x76543210",
        "0x7edcba98",
        "0x77777777",
        "0x77777777",
    ]


def test_q8_byte_order() -> None:
    row = np.array([-127, -126, 0, 127] + [-1, 1, 126, 2] + [0] * 24, np.float32)
    words, scales = Q8.encode("linear", row[None], "w")
    assert scales.tolist() == [[1.0]]
    assert [hex(int(word)) for word in words.view(np.uint32)[0]] == [
        "0xfe7f0100",
        "0x81fd807e",
        *["0x7f7f7f7f"] * 6,
    ]


@pytest.mark.parametrize("name", ["q0f16", "q0f32"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["linear", "vector"])
def test_plain_keeps_values(name: str, dtype: npt.DTypeLike, kind: str) -> None:
    shape = (5, 33) if kind == "linear" else (33,)
    weight = np.random.default_rng(5).normal(size=shape).astype(np.float32).astype(dtype)
    quantization = get_quantization(name)
    (stored,) = quantization.encode(kind, weight, "w")  # type: ignore[arg-type]
    expected = np.float16 if name == "q0f16" else np.float32
    assert stored.dtype == expected
    np.testing.assert_array_equal(stored, weight.astype(np.float32).astype(expected))


def test_stored_names_follow_mlc() -> None:
    linear = Parameter("model.layers.0.mlp.down_proj.weight", (64, 96), "linear", ("x",))
    assert Q4.stored(linear) == (
        StoredArray("model.layers.0.mlp.down_proj.q_weight", "uint32", (64, 12)),
        StoredArray("model.layers.0.mlp.down_proj.q_scale", "float16", (64, 3)),
    )
    assert Q8.stored(linear) == (
        StoredArray("model.layers.0.mlp.down_proj.q_weight", "uint32", (64, 24)),
        StoredArray("model.layers.0.mlp.down_proj.q_scale", "float16", (64, 3)),
    )
    norm = Parameter("model.norm.weight", (64,), "vector", ("x",))
    assert Q4.stored(norm) == (StoredArray("model.norm.weight", "float16", (64,)),)
    assert get_quantization("q0f32").stored(norm) == (
        StoredArray("model.norm.weight", "float32", (64,)),
    )


def test_arrays_have_the_announced_types_and_shapes() -> None:
    for quantization in QUANTIZATIONS.values():
        for kind, shape in (("linear", (6, 64)), ("embedding", (6, 64)), ("vector", (64,))):
            parameter = Parameter("p.weight", shape, kind, ("x",))  # type: ignore[arg-type]
            encoded = quantization.encode(parameter.kind, np.ones(shape, BF16), "x")
            announced = quantization.stored(parameter)
            assert [(a.dtype.name, a.shape, a.nbytes) for a in encoded] == [
                (s.dtype, s.shape, s.nbytes) for s in announced
            ]
            assert quantization.decode(parameter.kind, encoded).shape == shape


def test_errors_name_the_tensor() -> None:
    with pytest.raises(NotDivisibleError, match=r"'m\.o_proj\.weight' has 100 columns"):
        Q4.stored(Parameter("m.o_proj.weight", (8, 100), "linear", ("x",)))
    with pytest.raises(UnknownQuantizationError, match="q4f16_1, q8f16_1, q0f16, q0f32"):
        get_quantization("q3")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", list(QUANTIZATIONS))
def test_not_finite(dtype: npt.DTypeLike, bad: float, name: str) -> None:
    for kind, shape in (("linear", (4, 64)), ("vector", (64,))):
        weight = np.ones(shape, np.float32)
        weight.reshape(-1)[-1] = bad
        with pytest.raises(NonFiniteWeightError, match=r"'layer\.bad' holds NaN or Inf"):
            get_quantization(name).encode(kind, weight.astype(dtype), "layer.bad")  # type: ignore[arg-type]


def test_too_large_for_float16() -> None:
    with pytest.raises(NonFiniteWeightError, match="'w' reaches 70000"):
        get_quantization("q0f16").encode("vector", np.array([7e4, 1], np.float32), "w")
    with pytest.raises(NonFiniteWeightError, match="'w' has groups too large"):
        Q4.encode("linear", np.full((1, 32), 5e5, np.float32), "w")
    (kept,) = get_quantization("q0f32").encode("vector", np.array([7e4], np.float32), "w")
    assert kept.tolist() == [7e4]
