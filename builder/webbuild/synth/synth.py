"""`webbuild synth`: writes a Hugging Face folder of any size without a download."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from webbuild import __version__
from webbuild.errors import InvalidConfigError, ModelNotFoundError
from webbuild.models import EncoderConfig, read_config
from webbuild.pack.output import atomic_directory, check_replaceable, check_space
from webbuild.pack.progress import Reporter
from webbuild.sources import aliases
from webbuild.synth.tensors import RandomValues, TensorSpec, checkpoint_tensors
from webbuild.synth.tokenizer import CHAT_TEMPLATE, make_tokenizer

#: Marks a folder as made here, and so as one that --force may replace.
MARKER = "synth.json"

#: Largest weights file, as on the Hub.
SHARD_BYTES = 4 << 30


def synthesize(
    model: str,
    out: Path,
    reporter: Reporter,
    *,
    seed: int = 0,
    layers: int | None = None,
    force: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Writes the model that `model` (an alias, a config.json or its folder) describes.

    The same arguments give the same bytes. Returns the size of the weights in bytes.
    Raises ModelNotFoundError, the config's errors, and those of `atomic_directory`.
    """
    config, origin = _read_config(model)
    if layers is not None:
        config = {**config, "num_hidden_layers": layers}
    described = read_config(config)
    encodes = isinstance(described, EncoderConfig)
    eos = config.get("eos_token_id")
    tokenizer = make_tokenizer(
        described.vocab_size,
        config.get("bos_token_id"),
        eos if isinstance(eos, list) else [] if eos is None else [eos],
        config.get("pad_token_id"),
        encodes,
    )
    files: dict[str, dict[str, Any]] = {
        "config.json": config,
        "generation_config.json": {
            key: config[key] for key in ("bos_token_id", "eos_token_id") if key in config
        },
        "tokenizer.json": tokenizer.tokenizer,
        "tokenizer_config.json": {
            **tokenizer.config,
            "model_max_length": described.context_length,
        },
        MARKER: {"model": origin, "seed": seed, "webbuild_version": __version__},
    }
    shards = _split(checkpoint_tensors(described), shard_bytes)
    total = sum(spec.nbytes for shard in shards for spec in shard)

    check_replaceable(out, force, MARKER)
    check_space(out, total)
    with atomic_directory(out, force, MARKER) as folder:
        for name, content in files.items():
            _write_json(folder / name, content)
        if not encodes:
            (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, "utf-8")
        values = RandomValues(seed)
        with reporter.bytes("Weights", total) as advance:
            _write_shards(folder, shards, values, advance)
    return total


def _read_config(model: str) -> tuple[dict[str, Any], str]:
    if model in aliases():
        return aliases()[model].config, model
    path = Path(model).expanduser()
    if path.is_dir():
        path /= "config.json"
    if not path.is_file():
        raise ModelNotFoundError(
            f"{model!r} is no config.json and no alias; aliases: {', '.join(aliases())}"
        )
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidConfigError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise InvalidConfigError(f"{path} must hold a JSON object")
    return config, path.name


def _split(specs: Iterable[TensorSpec], shard_bytes: int) -> list[list[TensorSpec]]:
    shards: list[list[TensorSpec]] = [[]]
    filled = 0
    for spec in specs:
        if filled and filled + spec.nbytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(spec)
        filled += spec.nbytes
    return shards


def _write_shards(
    folder: Path,
    shards: Sequence[Sequence[TensorSpec]],
    values: RandomValues,
    advance: Callable[[int], None],
) -> None:
    """Writes one safetensors file, or several and their index."""
    weight_map: dict[str, str] = {}
    for index, specs in enumerate(shards, 1):
        name = "model.safetensors"
        if len(shards) > 1:
            name = f"model-{index:05}-of-{len(shards):05}.safetensors"
        weight_map |= {spec.name: name for spec in specs}
        with (folder / name).open("wb") as file:
            file.write(_header(specs))
            for spec in specs:
                for block in values.blocks(spec):
                    file.write(block.data)
                advance(spec.nbytes)
    if len(shards) > 1:
        total = sum(spec.nbytes for specs in shards for spec in specs)
        _write_json(
            folder / "model.safetensors.index.json",
            {"metadata": {"total_size": total}, "weight_map": weight_map},
        )


def _header(specs: Sequence[TensorSpec]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for spec in specs:
        end = position + spec.nbytes
        header[spec.name] = {
            "dtype": "BF16",
            "shape": list(spec.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the data
    return len(text).to_bytes(8, "little") + text


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
