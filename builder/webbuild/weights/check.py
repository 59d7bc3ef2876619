"""Checks before any work that the checkpoint holds what the model needs, in the shape it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from webbuild.errors import MissingTensorError, TensorShapeError, TiedHeadError
from webbuild.quantize import Quantization
from webbuild.sources import Tensor
from webbuild.weights.parameter import Parameter
from webbuild.weights.shards import plan_shards

#: The tensors that a tied head makes one.
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
#: Bytes that are compared at a time.
_BLOCK = 16 << 20


@dataclass(frozen=True, slots=True)
class WeightsPlan:
    """What `write_weights` will do."""

    source_nbytes: int
    """Bytes that will be read."""
    stored_nbytes: int
    """Bytes that the shards will have."""
    values: int
    """Weights of the model, a tied embedding counted once."""
    unused: tuple[str, ...]
    """Tensors in the files that no parameter reads."""


def check_parameters(
    parameters: Sequence[Parameter], tensors: Mapping[str, Tensor], quantization: Quantization
) -> WeightsPlan:
    """Raises MissingTensorError, TensorShapeError, NotDivisibleError or SafetensorsError (for
    tensors that are not floats), each naming the tensor."""
    for parameter in parameters:
        if parameter.kind == "constant":
            continue
        _check_sources(parameter, tensors)
    used = {source for parameter in parameters for source in parameter.sources}
    shards = plan_shards(
        array for parameter in parameters for array in quantization.stored(parameter)
    )
    return WeightsPlan(
        source_nbytes=sum(
            tensors[source].nbytes for parameter in parameters for source in parameter.sources
        ),
        stored_nbytes=sum(shard.nbytes for shard in shards),
        values=sum(prod(parameter.shape) for parameter in parameters if parameter.sources),
        unused=tuple(sorted(name for name in tensors if name not in used)),
    )


def check_tied(tensors: Mapping[str, Tensor]) -> None:
    """Of a model whose config says that the embedding is its head. Raises TiedHeadError if the
    files hold another head all the same, as after training it; reads both."""
    head, embedding = tensors.get(HEAD), tensors.get(EMBEDDING)
    if head is None or embedding is None:
        return
    head.check_float()
    same = head.shape == embedding.shape and all(
        np.array_equal(
            head.rows(*block).astype(np.float32), embedding.rows(*block).astype(np.float32)
        )
        for block in head.blocks(_BLOCK)
    )
    if not same:
        raise TiedHeadError(
            f"config.json says tie_word_embeddings, but {HEAD} is not {EMBEDDING}: to pack the "
            f'head that is there, set "tie_word_embeddings": false; to leave it out, remove {HEAD}'
        )


def _check_sources(parameter: Parameter, tensors: Mapping[str, Tensor]) -> None:
    expected = parameter.rows or parameter.shape[:1]
    for source, rows in zip(parameter.sources, expected, strict=True):
        if source not in tensors:
            raise MissingTensorError(
                f"the checkpoint has no tensor {source!r}, which the config's architecture needs: "
                "is config.json of the same model as the weights?"
            )
        tensor = tensors[source]
        tensor.check_float()
        wanted = (rows, *parameter.shape[1:])
        if tensor.shape != wanted:
            raise TensorShapeError(
                f"tensor {source!r} has shape {list(tensor.shape)}, but the config gives "
                f"{list(wanted)}: is config.json of the same model as the weights?"
            )
