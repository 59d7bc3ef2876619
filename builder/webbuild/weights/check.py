"""Checks before any work that the checkpoint holds what the model needs, in the shape it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from webbuild.errors import MissingTensorError, TensorShapeError
from webbuild.quantize import Quantization
from webbuild.sources import Tensor
from webbuild.weights.parameter import Parameter
from webbuild.weights.shards import plan_shards


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


def _check_sources(parameter: Parameter, tensors: Mapping[str, Tensor]) -> None:
    rows = 0
    for source in parameter.sources:
        if source not in tensors:
            raise MissingTensorError(
                f"the checkpoint has no tensor {source!r}, which the config's architecture needs: "
                "is config.json of the same model as the weights?"
            )
        tensor = tensors[source]
        tensor.check_float()
        if tensor.shape[1:] != parameter.shape[1:] or not tensor.shape:
            raise TensorShapeError(
                f"tensor {source!r} has shape {list(tensor.shape)}, but the config gives "
                f"[…, {', '.join(map(str, parameter.shape[1:]))}]"
                if parameter.shape[1:]
                else f"tensor {source!r} must be a vector, but has shape {list(tensor.shape)}"
            )
        rows += tensor.shape[0]
    if rows != parameter.shape[0]:
        parts = " + ".join(
            f"{source} {list(tensors[source].shape)}" for source in parameter.sources
        )
        raise TensorShapeError(
            f"{parts} give {rows} rows, but the config gives {parameter.name!r} "
            f"{list(parameter.shape)}: is config.json of the same model as the weights?"
        )
