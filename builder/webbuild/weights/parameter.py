"""What the model side asks of the weights side: one parameter of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["linear", "embedding", "vector", "constant"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the compiled model and where its values come from.

    name: in MLC's naming, such as ``model.layers.0.self_attn.qkv_proj.weight``. Quantisations that
        store several arrays replace the last part (``.q_weight``, ``.q_scale``).
    shape: of the whole parameter; ``[out_features, in_features]`` for "linear",
        ``[vocabulary, hidden]`` for "embedding", ``[n]`` for "vector" (norms, biases) and
        "constant".
    kind: decides how a quantisation stores it; a "constant" is always float32, under `name`.
    sources: names of the tensors in the Hugging Face files, concatenated along axis 0.
        A tied head is no parameter: the model reads the embedding. Empty for a "constant".
    value: of a "constant", which comes from the config instead of the files: float32 [n].
    rows: how many each source gives, where there are several.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    sources: tuple[str, ...]
    value: tuple[float, ...] | None = None
    rows: tuple[int, ...] = ()
