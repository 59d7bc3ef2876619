"""Rotary position embedding: the frequencies, after whatever scaling the config asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from webbuild.errors import InvalidConfigError, UnsupportedConfigError

_DEFAULT_THETA = 10000.0


@dataclass(frozen=True, slots=True)
class Rope:
    """Parameters of the rotation. `low`, `high` and `original_context` belong to ``llama3``."""

    dim: int
    theta: float
    kind: Literal["default", "linear", "llama3"] = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original_context: int = 8192

    def inv_freq(self) -> npt.NDArray[np.float32]:
        """Angle per position of each pair (i, i + dim/2): f32[dim/2].

        The steps and their precision are those of transformers' ``modeling_rope_utils.py``
        (``_compute_default_rope_parameters``, ``…_linear_scaling_…``, ``…_llama3_…``): at
        position 100,000 one unit in the last place is visible.
        """
        exponent = np.arange(0, self.dim, 2, dtype=np.float32) / np.float32(self.dim)
        power = np.power(self.theta, exponent.astype(np.float64)).astype(np.float32)
        inv_freq = np.float32(1.0) / power
        if self.kind == "linear":
            inv_freq = inv_freq / np.float32(self.factor)
        elif self.kind == "llama3":
            inv_freq = self._llama3(inv_freq)
        return inv_freq

    def _llama3(self, inv_freq: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        # Long waves are slowed by `factor`, short ones kept, those between interpolated.
        wavelength = np.float32(2 * math.pi) / inv_freq
        slowed = inv_freq / np.float32(self.factor)
        smooth = (np.float32(self.original_context) / wavelength - np.float32(self.low)) / (
            np.float32(self.high) - np.float32(self.low)
        )
        mixed = (np.float32(1.0) - smooth) * slowed + smooth * inv_freq
        is_long = wavelength > self.original_context / self.low
        is_short = wavelength < self.original_context / self.high
        scaled: npt.NDArray[np.float32] = np.where(
            is_long, slowed, np.where(is_short, inv_freq, mixed)
        ).astype(np.float32)
        return scaled


def read_rope(values: Mapping[str, Any], head_dim: int) -> Rope:
    """Reads ``rope_parameters`` (transformers 5) or ``rope_theta`` with ``rope_scaling``, which
    wins where there are both, as in transformers.

    Raises UnsupportedConfigError, naming the type, for a scaling that is not implemented.
    """
    scaling = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(scaling, Mapping):
        raise InvalidConfigError(f"config.json: the rope scaling must be an object, is {scaling!r}")

    def number(key: str, default: float | None = None) -> float:
        value = scaling.get(key, default)
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        if not (ok and 0 < value < math.inf):
            raise InvalidConfigError(
                f"config.json: {key!r} of the rope scaling must be a positive number, is {value!r}"
            )
        return float(value)

    if any(isinstance(value, Mapping) for value in scaling.values()):
        raise UnsupportedConfigError(
            f"kinds of layers have rotations of their own ({', '.join(scaling)}), which is not "
            "implemented"
        )
    partial = scaling.get("partial_rotary_factor", values.get("partial_rotary_factor"))
    if partial not in (None, 1):
        raise UnsupportedConfigError("partial_rotary_factor is not implemented")
    theta = number("rope_theta", values.get("rope_theta") or _DEFAULT_THETA)
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return Rope(head_dim, theta)
    if kind == "linear":
        return Rope(head_dim, theta, "linear", number("factor"))
    if kind == "llama3":
        low, high = number("low_freq_factor"), number("high_freq_factor")
        if low >= high:
            raise InvalidConfigError(
                f"config.json: low_freq_factor ({low}) must be less than high_freq_factor ({high})"
            )
        # Some configs have it at the top level; transformers then ignores the other one.
        original = values.get("original_max_position_embeddings")
        context = number("original_max_position_embeddings", original)
        if original is not None and original != context:
            raise InvalidConfigError(
                f"config.json has two original_max_position_embeddings, {original!r} and "
                f"{context:g}: leave one out"
            )
        factor = number("factor")
        return Rope(head_dim, theta, "llama3", factor, low, high, int(context))
    raise UnsupportedConfigError(
        f"rope type {kind!r} is not implemented (there are default, linear and llama3): "
        "choose a release of the model without it"
    )
