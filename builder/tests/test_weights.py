"""Writing and reading shards: layout, hashes, bounded memory, and what is refused beforehand."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tvm.contrib import tvmjs

from checkpoints import write_safetensors
from webbuild.errors import (
    InvalidProgramError,
    MissingTensorError,
    NonFiniteWeightError,
    NotAPackError,
    NotDivisibleError,
    PackDamagedError,
    SafetensorsError,
    TensorShapeError,
)
from webbuild.quantize import StoredArray, get_quantization
from webbuild.sources.safetensors import Tensor, read_header
from webbuild.weights.cache import WeightsReader
from webbuild.weights.check import check_parameters
from webbuild.weights.parameter import Parameter
from webbuild.weights.shards import SHARD_BYTES, plan_shards
from webbuild.weights.writer import BLOCK_BYTES, write_weights

PARAMETERS = (
    Parameter("embed.weight", (300, 64), "embedding", ("embed.weight",)),
    Parameter("rope.inv_freq", (3,), "constant", (), (1.0, 0.5, 0.1)),
    Parameter(
        "qkv.weight",
        (128, 64),
        "linear",
        ("q.weight", "k.weight", "v.weight"),
        rows=(64, 32, 32),
    ),
    Parameter("qkv.bias", (129,), "vector", ("bias",)),
    Parameter("norm.weight", (64,), "vector", ("norm.weight",)),
)


def random(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(sum(shape)).normal(0, 0.1, shape).astype(np.float32)


@pytest.fixture
def tensors(tmp_path: Path) -> dict[str, Tensor]:
    path = tmp_path / "model.safetensors"
    write_safetensors(
        path,
        {
            "embed.weight": random(300, 64).astype(np.float16),
            "q.weight": random(64, 64),
            "k.weight": random(32, 64),
            "v.weight": random(32, 64),
            "bias": random(129).astype(np.float16),
            "norm.weight": random(64),
            "rotary.inv_freq": random(16),
        },
    )
    return read_header(path)


@pytest.mark.parametrize("name", ["q4f16_1", "q8f16_1", "q0f16", "q0f32"])
def test_written_weights_read_back(name: str, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    quantization = get_quantization(name)
    out = tmp_path / "out"
    out.mkdir()
    done: list[int] = []
    files = write_weights(PARAMETERS, tensors, quantization, out, done.append)
    plan = check_parameters(PARAMETERS, tensors, quantization)

    assert sum(done) == plan.source_nbytes
    assert plan.values == 300 * 64 + 128 * 64 + 129 + 64
    assert plan.unused == ("rotary.inv_freq",)
    assert {file.path for file in files} == {path.name for path in out.iterdir()}
    for file in files:
        data = (out / file.path).read_bytes()
        assert (file.nbytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert sum(file.nbytes for file in files[:-1]) == plan.stored_nbytes

    reader = WeightsReader(out)
    for parameter in PARAMETERS:
        source = np.concatenate(
            [tensors[s].rows(0, tensors[s].shape[0]).astype(np.float32) for s in parameter.sources]
            or [np.array(parameter.value, np.float32)]
        )
        expected = quantization.encode(parameter.kind, source, "")
        for array, stored in zip(expected, quantization.stored(parameter), strict=True):
            np.testing.assert_array_equal(reader.read(stored.name), array)
        np.testing.assert_array_equal(
            reader.dequantize(parameter, quantization),
            quantization.decode(parameter.kind, expected).reshape(parameter.shape),
        )


def test_layout_is_tvms(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    """TVM's own loader reads the arrays, and the index has its fields."""
    quantization = get_quantization("q4f16_1")
    out = tmp_path / "out"
    out.mkdir()
    write_weights(PARAMETERS, tensors, quantization, out, lambda _: None)
    index = json.loads((out / "tensor-cache.json").read_text())
    (shard,) = index["records"]
    data = (out / "params_shard_0.bin").read_bytes()
    assert shard["md5sum"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert (shard["dataPath"], shard["format"], shard["nbytes"]) == (
        "params_shard_0.bin",
        "raw-shard",
        len(data),
    )
    assert all(record["byteOffset"] % 4 == 0 for record in shard["records"])
    assert len(data) % 4 == 0

    import tvm

    arrays, metadata = tvmjs.load_tensor_cache(str(out), tvm.cpu())
    assert metadata["ParamSize"] == len(arrays) == 7
    reader = WeightsReader(out)
    for name in reader.names:
        np.testing.assert_array_equal(arrays[name].numpy(), reader.read(name))


def test_shards_follow_tvms_rules() -> None:
    MB = 1 << 20

    def array(name: str, nbytes: int) -> StoredArray:
        return StoredArray(name, "uint32", (nbytes // 4,))

    arrays = [array("a", 20 * MB), array("b", 100 * MB), array("c", 8 * MB), array("d", 8 * MB),
              array("e", 15 * MB), array("f", 40 * MB), array("g", 12)]  # fmt: skip
    shards = plan_shards(arrays)
    # b and f are large: own files at once. d no longer fits beside a and c: the shard is closed.
    assert [[record.array.name for record in shard.records] for shard in shards] == [
        ["b"],
        ["a", "c"],
        ["f"],
        ["d", "e", "g"],
    ]
    assert [shard.path for shard in shards] == [f"params_shard_{i}.bin" for i in range(4)]
    assert [record.offset for record in shards[3].records] == [0, 8 * MB, 23 * MB]
    assert SHARD_BYTES == 32 * MB


def test_odd_sizes_are_padded() -> None:
    arrays = [StoredArray(name, "float16", (3,)) for name in "ab"]
    (shard,) = plan_shards(arrays)
    assert [(record.offset, record.array.nbytes) for record in shard.records] == [(0, 6), (8, 6)]
    assert shard.nbytes == 16


def test_large_tensors_cross_blocks(tmp_path: Path) -> None:
    """A tensor of several blocks in several shards is the same as encoded in one piece."""
    path = tmp_path / "model.safetensors"
    weight = random(2 * BLOCK_BYTES // 1024 + 7, 256)
    write_safetensors(path, {"a": weight, "b": weight[:100]})
    parameters = [Parameter("ab.weight", (len(weight) + 100, 256), "linear", ("a", "b"))]
    quantization = get_quantization("q4f16_1")
    out = tmp_path / "out"
    out.mkdir()
    write_weights(parameters, read_header(path), quantization, out, lambda _: None)
    whole = quantization.encode("linear", np.concatenate([weight, weight[:100]]), "")
    reader = WeightsReader(out)
    np.testing.assert_array_equal(reader.read("ab.q_weight"), whole[0])
    np.testing.assert_array_equal(reader.read("ab.q_scale"), whole[1])


def test_checks(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    q4 = get_quantization("q4f16_1")

    def check(*parameters: Parameter) -> None:
        check_parameters(parameters, tensors, q4)

    with pytest.raises(MissingTensorError, match="no tensor 'absent'"):
        check(Parameter("x.weight", (1, 32), "linear", ("absent",)))
    with pytest.raises(TensorShapeError, match=r"'q\.weight' has shape \[64, 64\]"):
        check(Parameter("x.weight", (64, 32), "linear", ("q.weight",)))
    with pytest.raises(TensorShapeError, match=r"the config gives \[64\]"):
        check(Parameter("x.weight", (64,), "vector", ("q.weight",)))
    stacked = ("q.weight", "k.weight")
    check(Parameter("x.weight", (96, 64), "linear", stacked, rows=(64, 32)))
    # Their sum is right.
    with pytest.raises(TensorShapeError, match=r"'q\.weight' has shape \[64, 64\].*\[48, 64\]"):
        check(Parameter("x.weight", (96, 64), "linear", stacked, rows=(48, 48)))
    with pytest.raises(NotDivisibleError, match=r"'x\.weight' has 48 columns"):
        path = tmp_path / "odd.safetensors"
        write_safetensors(path, {"odd": random(4, 48)})
        odd = Parameter("x.weight", (4, 48), "linear", ("odd",))
        check_parameters([odd], read_header(path), q4)
    with pytest.raises(SafetensorsError, match="'ids' has type I64"):
        path = tmp_path / "ids.safetensors"
        write_safetensors(path, {"ids": np.zeros((4, 32), np.int64)})
        ids = Parameter("x.weight", (4, 32), "linear", ("ids",))
        check_parameters([ids], read_header(path), q4)


def test_bad_weights_are_named(tmp_path: Path) -> None:
    weight = random(64, 64)
    weight[63, 63] = np.nan
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"layers.3.bad": weight})
    parameters = [Parameter("x.weight", (64, 64), "linear", ("layers.3.bad",))]
    with pytest.raises(NonFiniteWeightError, match=r"'layers\.3\.bad' holds NaN"):
        write_weights(
            parameters, read_header(path), get_quantization("q4f16_1"), tmp_path, lambda _: None
        )


def test_damaged_packs(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(NotAPackError, match=r"no tensor-cache\.json"):
        WeightsReader(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    write_weights(PARAMETERS, tensors, get_quantization("q0f16"), out, lambda _: None)
    index = json.loads((out / "tensor-cache.json").read_text())

    def damage(**fields: object) -> None:
        record = {**index["records"][0]["records"][0], **fields}
        changed = {"records": [{**index["records"][0], "records": [record]}]}
        (out / "tensor-cache.json").write_text(json.dumps(changed))

    for fields in ({"nbytes": 1}, {"dtype": "int3"}, {"byteOffset": 10**9}, {"shape": [-1]}):
        damage(**fields)
        with pytest.raises(InvalidProgramError, match=r"tensor-cache\.json"):
            WeightsReader(out)
    (out / "tensor-cache.json").write_text(json.dumps(index))
    shard = out / "params_shard_0.bin"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(PackDamagedError, match="truncated"):
        WeightsReader(out).read("norm.weight")
    shard.unlink()
    with pytest.raises(PackDamagedError, match="cannot be read"):
        WeightsReader(out).read("norm.weight")


_MEASURE = """
import sys
from pathlib import Path
from webbuild.quantize import get_quantization
from webbuild.sources.safetensors import read_header
from webbuild.weights.parameter import Parameter
from webbuild.weights.writer import write_weights
folder, layers = Path(sys.argv[1]), int(sys.argv[2])
tensors = read_header(folder / "model.safetensors")
# One file of 50 MB stands for many layers: the reader does not know.
parameters = [Parameter(f"{i}.weight", (6250, 4096), "linear", ("w",)) for i in range(layers)]
quantization = get_quantization("q4f16_1")
write_weights(parameters, tensors, quantization, folder / sys.argv[2], lambda _: None)
# Not ru_maxrss, which counts what the parent held when it forked.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    header = {"w": {"dtype": "BF16", "shape": [6250, 4096], "data_offsets": [0, 51_200_000]}}
    text = json.dumps(header).encode()
    values = np.random.default_rng(0).integers(0x3C00, 0x3E00, 25_600_000, np.uint16)
    (tmp_path / "model.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + values.tobytes()
    )
    peaks = []
    for layers in (4, 16):  # 200 MB and 800 MB of input
        (tmp_path / str(layers)).mkdir()
        command = [sys.executable, "-c", _MEASURE, str(tmp_path), str(layers)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(run.stdout))
    assert peaks[1] - peaks[0] < 32, f"peak memory in MB: {peaks}"
    assert peaks[1] < 400, f"peak memory in MB: {peaks}"
