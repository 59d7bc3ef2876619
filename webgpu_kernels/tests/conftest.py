"""Fixtures and the `--perf` switch of the kernel tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .device import Device


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--perf", action="store_true", help="time the kernels at model sizes: µs and GB/s each"
    )


@pytest.fixture(scope="session")
def device() -> Iterator[Device]:
    """The shared device."""
    yield Device()
