"""`webbuild pack`: from a model to a directory of static files.

Everything that can be wrong with the input is found before anything is written; the program is
compiled before the weights are read; pack.json comes last, and the directory appears by a rename.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import webbuild
from webbuild.errors import InvalidOptionError
from webbuild.models import DecoderConfig, EncoderConfig, ModelConfig, parameters, read_config
from webbuild.pack.embedding import embedding_info
from webbuild.pack.generation import not_followed
from webbuild.pack.grammars import read_grammars
from webbuild.pack.output import (
    MANIFEST,
    atomic_directory,
    check_replaceable,
    check_space,
    named_write_errors,
)
from webbuild.pack.progress import Reporter
from webbuild.pack.tokens import check_parts, check_vocabulary, special_tokens
from webbuild.quantize import Quantization
from webbuild.schema.pack import (
    EmbeddingInfo,
    FileRole,
    ModelInfo,
    PackFile,
    PackManifest,
    Provenance,
    Tokens,
)
from webbuild.schema.program import KvStore
from webbuild.sources import ModelSource
from webbuild.weights.check import HEAD, WeightsPlan, check_parameters, check_tied
from webbuild.weights.parameter import Parameter
from webbuild.weights.writer import TENSOR_CACHE, WrittenFile, write_weights
from webgpu_kernels.records import (
    RecordsError,
    TuningRecord,
    merge,
    read_records,
    shipped_records,
)

#: Room for program, kernels and tokenizer when the free space is checked.
_OTHER_FILES = 64 << 20

# Tensors that checkpoints hold and no model needs: tables that are computed, and the copy of the
# embedding that some tools write for a tied head.
_REDUNDANT = (".rotary_emb.inv_freq", ".masked_bias", ".attn.bias", "embeddings.position_ids")


@dataclass(frozen=True, slots=True)
class PackOptions:
    """What `pack_model` can be told beside the model, its quantisation and the output."""

    force: bool = False
    """Replace a pack that is already there."""
    library: bool = True
    """False: every kernel comes from TVM."""
    kv: KvStore = "float"
    """How keys and values are kept on the GPU."""
    dump_passes: Path | None = None
    """Folder for the module after each compiler pass."""
    context_length: int | None = None
    """Tokens for which the runtime allocates pages by default; None: the compiler's choice."""
    max_batch: int | None = None
    """Most sequences that a load can ask for; None: the compiler's choice."""
    name: str | None = None
    """What the pack calls its model; None: the source's name."""
    records: Path | None = None
    """A database of measured tunings to add to the one that ships."""
    grammars: tuple[str, ...] = ()
    """NAME=FILE of each grammar that the pack brings along."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A model that has passed every check."""

    source: ModelSource
    quantization: Quantization
    model: ModelConfig
    parameters: tuple[Parameter, ...]
    plan: WeightsPlan
    tokens: Tokens
    template: str | None
    embedding: EmbeddingInfo | None

    @property
    def longest_text(self) -> int | None:
        """Most tokens of a text that an encoder was made for, where that is less than it can."""
        if self.embedding is None:
            return None
        longest = self.source.longest_text
        return None if longest is None else min(longest, self.model.context_length)


def pack_model(
    source: ModelSource,
    quantization: Quantization,
    out: Path,
    reporter: Reporter,
    options: PackOptions | None = None,
) -> PackManifest:
    """Packs `source` into the directory `out` and returns its manifest.

    Raises a `WebbuildError` that names what is wrong; then `out` is as it was before.
    """
    # TVM takes seconds to import, and inspecting or serving a pack does without.
    from webbuild.compile import MAX_BATCH, compile_model

    options = options or PackOptions()
    with named_write_errors(out):
        check_replaceable(out, options.force)
    job = _check(source, quantization, reporter)
    longest = job.model.context_length
    if options.context_length is not None and options.context_length > longest:
        raise InvalidOptionError(
            f"--context {options.context_length} is more than the model's {longest}"
        )
    grammars = read_grammars(options.grammars)
    if grammars and job.embedding:
        raise InvalidOptionError("--grammar: an encoder writes no answers")
    check_space(out, job.plan.stored_nbytes + _OTHER_FILES)
    records = _records(options.records)

    compiled = compile_model(
        source.config,
        quantization.name,
        context_length=options.context_length or job.longest_text,
        max_batch=options.max_batch or MAX_BATCH,
        library=options.library,
        kv=options.kv,
        dump_dir=options.dump_passes,
        progress=lambda stage: reporter.step(stage.capitalize()),
        records=records,
    )
    with atomic_directory(out, options.force) as folder:
        files = [
            _write_model(folder, "program.json", "program", compiled.program),
            _write_model(folder, "kernels.json", "kernels", compiled.kernels),
            *_copy_texts(job, folder),
        ]
        with reporter.bytes("Weights", job.plan.source_nbytes) as advance:
            written = write_weights(job.parameters, source.tensors, quantization, folder, advance)
        files += [
            _pack_file(file, "tensor_cache" if file.path == TENSOR_CACHE else "weights")
            for file in written
        ]
        manifest = PackManifest(
            model=_model_info(job, options.name or source.name),
            embedding=job.embedding,
            quantization=quantization.name,
            limits=compiled.limits,
            tokens=job.tokens,
            memory=compiled.memory,
            grammars=grammars,
            files=tuple(files),
            provenance=Provenance(
                source=source.identifier,
                revision=source.revision,
                webbuild_version=webbuild.__version__,
            ),
        )
        _write_model(folder, MANIFEST, "program", manifest)
    return manifest


def _records(path: Path | None) -> list[TuningRecord]:
    try:
        more = read_records(path) if path else []
    except (RecordsError, OSError) as error:
        raise InvalidOptionError(f"--records: {error}") from None
    return merge(shipped_records(), more)


def _check(source: ModelSource, quantization: Quantization, reporter: Reporter) -> _Job:
    """All checks of the input. The small files come first: weights may have to be downloaded."""
    model = read_config(source.config)
    wanted = parameters(model)
    tokens = special_tokens(source)
    check_vocabulary(source, model.vocab_size)
    encodes = isinstance(model, EncoderConfig)
    check_parts(source)
    template = None if encodes else source.chat_template
    if not encodes:
        _ = source.tool_template  # raises if it does not parse
    if not encodes and not tokens.eos:
        reporter.warn("no end-of-sequence token is named: generation ends at its token limit")
    if not encodes and template is None:
        reporter.warn("the model has no chat template: only plain completions will work")
    if not encodes and (ignored := not_followed(source.generation_config)):
        reporter.warn(
            f"generation_config.json sets {', '.join(ignored)}, which webbuild does not do: "
            "answers are those of the model without"
        )
    for parameter in wanted:
        quantization.stored(parameter)  # raises if the shape does not divide
    if source.config.get("auto_map"):
        reporter.warn(
            "the model brings code of its own (auto_map), which is not run: it is packed as "
            f"transformers' own {model.architecture}"
        )
    plan = check_parameters(wanted, source.tensors, quantization)
    if _ties(model):
        check_tied(source.tensors)
    unused = [
        name
        for name in plan.unused
        if not name.endswith(_REDUNDANT)
        and not (_ties(model) and name == HEAD)
        and not (encodes and name.startswith("pooler."))
    ]
    if unused:
        some = ", ".join(unused[:4]) + (", …" if len(unused) > 4 else "")
        reporter.warn(f"{len(unused)} of the checkpoint's tensors are not used: {some}")
    embedding = embedding_info(source, model) if isinstance(model, EncoderConfig) else None
    if encodes and source.lowers_case:
        reporter.warn(
            "sentence-transformers makes every text of this model lower-case (do_lower_case): your "
            "page has to do it itself"
        )
    if encodes and source.default_prompt is not None:
        reporter.warn(
            "sentence-transformers puts its default prompt before every text of this model: your "
            f"page has to write it itself ({source.default_prompt!r})"
        )
    return _Job(source, quantization, model, wanted, plan, tokens, template, embedding)


def _ties(model: ModelConfig) -> bool:
    """Whether the embedding is the head too."""
    return isinstance(model, DecoderConfig) and model.tied_embeddings


def _model_info(job: _Job, name: str) -> ModelInfo:
    model = job.model
    return ModelInfo(
        name=name,
        architecture=model.architecture,
        family=model.family,
        parameters=job.plan.values,
        vocab_size=model.vocab_size,
        hidden_size=model.hidden_size,
        layers=model.layers,
        heads=model.heads,
        kv_heads=model.kv_heads if isinstance(model, DecoderConfig) else model.heads,
        head_dim=model.head_dim,
        intermediate_size=model.intermediate_size,
        tied_embeddings=_ties(model),
        config=job.source.config,
    )


def _copy_texts(job: _Job, folder: Path) -> Iterator[PackFile]:
    """Tokenizer files, as they are where nothing else is meant, and the chat template as a file of
    its own; one for requests with tools is in tokenizer_config.json, wherever it was."""
    source = job.source
    config = dict(source.tokenizer_config)
    tools = None if job.template is None else source.tool_template
    if tools is not None:
        named = {"default": job.template, "tool_use": tools}
        config["chat_template"] = [{"name": name, "template": t} for name, t in named.items()]
    elif not isinstance(config.get("chat_template"), str):
        config.pop("chat_template", None)  # several, of which another file's is taken
    texts: list[tuple[str, dict[str, Any], FileRole]] = [
        ("tokenizer.json", source.tokenizer, "tokenizer"),
        ("tokenizer_config.json", config, "tokenizer_config"),
    ]
    for name, value, role in texts:
        given = source.folder / name
        if given.is_file() and json.loads(given.read_text("utf-8")) == value:
            shutil.copyfile(given, folder / name)
        else:
            (folder / name).write_text(json.dumps(value, ensure_ascii=False), "utf-8")
        yield _pack_file(_hash(folder / name), role)
    copies: list[tuple[Path | None, str, FileRole]] = [
        (source.folder / "generation_config.json", "generation_config.json", "generation_config"),
        (source.license_file, "LICENSE", "license"),
    ]
    for path, name, role in copies:
        if path is not None and path.is_file():
            shutil.copyfile(path, folder / name)
            yield _pack_file(_hash(folder / name), role)
    if job.template is not None:
        path = folder / "chat_template.jinja"
        path.write_bytes(job.template.encode())
        yield _pack_file(_hash(path), "chat_template")


def _write_model(folder: Path, name: str, role: FileRole, model: BaseModel) -> PackFile:
    """Writes compact JSON: these files travel to every visitor."""
    (folder / name).write_bytes(model.model_dump_json().encode() + b"\n")
    return _pack_file(_hash(folder / name), role)


def _hash(path: Path) -> WrittenFile:
    data = path.read_bytes()
    return WrittenFile(path.name, len(data), hashlib.sha256(data).hexdigest())


def _pack_file(file: WrittenFile, role: FileRole) -> PackFile:
    return PackFile(path=file.path, role=role, nbytes=file.nbytes, sha256=file.sha256)
