"""The shipped pack is what `make demo-pack` makes of the checkpoint, byte for byte."""

from pathlib import Path

import pytest

from webbuild.inspect import inspect_pack
from webbuild.native import NativeModel
from webbuild.pack import PackOptions, Reporter, pack_model
from webbuild.quantize import get_quantization
from webbuild.sources import open_source

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "demo_site" / "public" / "packs" / "demo"
CHECKPOINT = REPOSITORY / "builder" / "demo_model" / "checkpoint"


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shipped_pack_is_reproducible(tmp_path: Path) -> None:
    again = tmp_path / "demo"
    pack_model(
        open_source(str(CHECKPOINT), None),
        get_quantization("q4f16_1"),
        again,
        Reporter(quiet=True),
        PackOptions(name="webbuild-demo"),
    )
    made, shipped = _contents(again), _contents(SHIPPED)
    assert made.keys() == shipped.keys()
    assert [name for name in made if made[name] != shipped[name]] == []


def test_shipped_pack_is_small_and_whole() -> None:
    assert sum(len(data) for data in _contents(SHIPPED).values()) <= 12_000_000
    inspect_pack(SHIPPED, verify=True)


@pytest.mark.gpu
def test_decoding_in_pieces_draws_the_same_tokens() -> None:
    model = NativeModel.open(SHIPPED)
    prompt = [(7 * i) % 200 + 20 for i in range(300)]  # three pieces
    answers = []
    for split_context in (10**9, 1):
        model.split_context = split_context
        answers.append(model.generate(prompt, 24, stop_at_eos=False))
    assert answers[0] == answers[1]
