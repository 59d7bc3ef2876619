"""Logits of every family, quantisation and tier against transformers in float32."""

from __future__ import annotations

from pathlib import Path

import pytest

from webbuild.reference import BOUNDS, CASES, Case, climb

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ladder")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_logits_equal_those_of_transformers(case: Case, folder: Path) -> None:
    errors = climb(case, folder)
    assert all(error <= BOUNDS[tier] for tier, error in errors.items()), errors
