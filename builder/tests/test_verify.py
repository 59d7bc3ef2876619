"""`webbuild verify` on tiny packs, right and wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from webbuild.errors import InvalidOptionError, LogitsDifferError, MissingFileError
from webbuild.pack import Reporter
from webbuild.reference import Case, prepare, write_tiny
from webbuild.synth import synthesize
from webbuild.verify import verify_pack
from webbuild.weights.cache import WeightsReader

pytestmark = pytest.mark.gpu

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepare(Case("llama-gqa", "q4f16_1"), tmp_path_factory.mktemp("verify"))


def _errors(lines: list[str]) -> list[float]:
    found = [re.search(r"logits (\S+) on", line) for line in lines]
    return [float(match[1]) for match in found if match]


def test_a_pack_agrees_with_its_own_weights(folders: tuple[Path, Path]) -> None:
    lines: list[str] = []
    verify_pack(folders[1], None, lines.append, QUIET)
    assert _errors(lines)
    assert all(error < 0.02 for error in _errors(lines))


def test_a_pack_with_int8_keys_and_values_tells_what_they_cost(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    _, pack = prepare(Case("llama-gqa", "q4f16_1", kv="int8"), tmp_path)
    lines: list[str] = []
    verify_pack(pack, None, lines.append, QUIET)
    costs = [float(line.split()[1]) for line in lines if "from logits of float" in line]
    exact = [
        float(match[1])
        for match in (re.search(r"logits (\S+), given", one) for one in lines)
        if match
    ]
    assert len(costs) == len(exact) > 0
    assert all(error < 1e-3 < cost < 0.05 for error, cost in zip(exact, costs, strict=True))


def test_the_checkpoint_is_as_far_as_quantisation_took_it(folders: tuple[Path, Path]) -> None:
    lines: list[str] = []
    verify_pack(folders[1], folders[0], lines.append, QUIET)
    assert all(0.02 < error < 1 for error in _errors(lines))


def test_wrong_logits_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference sees one weight differently from the kernels."""
    pack = Path(shutil.copytree(folders[1], tmp_path / "pack"))
    read = WeightsReader.read

    def changed(self: WeightsReader, name: str) -> object:
        array = read(self, name)
        return array * 2 if name == "model.norm.weight" else array

    monkeypatch.setattr(WeightsReader, "read", changed)
    with pytest.raises(LogitsDifferError, match="is off by"):
        verify_pack(pack, None, lambda line: None, QUIET)


def test_a_checkpoint_with_other_weights_is_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    synthesize(str(folders[0]), other, QUIET, seed=1)
    with pytest.raises(LogitsDifferError, match=r"bound for q4f16_1 is 1.*made of these weights"):
        verify_pack(folders[1], other, lambda line: None, QUIET)


def test_a_source_that_is_another_model_is_refused_before_anything_runs(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    other = write_tiny("llama-head-dim", tmp_path)
    with pytest.raises(InvalidOptionError, match=r"another model: its \w+ is"):
        verify_pack(folders[1], other, lambda line: None, QUIET)
    with pytest.raises(MissingFileError, match=r"lacks config\.json"):
        verify_pack(folders[1], tmp_path, lambda line: None, QUIET)
