"""pack.json: what a pack is, what it needs, and every file with its size and hash."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .base import Format

PACK_VERSION: Literal[3] = 3

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileRole = Literal[
    "program",
    "kernels",
    "tensor_cache",
    "weights",
    "tokenizer",
    "tokenizer_config",
    "chat_template",
    "generation_config",
    "license",
]


Pooling = Literal["mean", "cls", "last"]


class PackFile(Format):
    """One file of the pack."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    """Relative, one level, no separators."""
    role: FileRole
    nbytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class ModelInfo(Format):
    """The model's shape, for people and for checks."""

    name: str
    architecture: str
    """Hugging Face architecture, e.g. `LlamaForCausalLM`."""
    family: str
    """`llama`, `qwen2`, `qwen3` …"""
    parameters: int
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    tied_embeddings: bool
    config: dict[str, Any]
    """The source's config.json, verbatim."""


class EmbeddingInfo(Format):
    """How an encoder's vectors of tokens become a text's; they have `hidden_size` numbers."""

    pooling: Pooling
    """The mean over all tokens, the first token (`cls`), or the last one."""
    normalize: bool
    """Whether a text's vector is scaled to length 1."""
    first_position: Annotated[int, Field(ge=0)]
    """Of a text's first token, as `positions` counts."""


class PackGrammar(Format):
    """What answers can be held to by a name: the source, which the runtime compiles."""

    kind: Literal["json_schema", "regex", "ebnf"]
    text: str
    """JSON text of a schema, a pattern, or a grammar in GBNF."""


class Limits(Format):
    """What the program was compiled for."""

    context_length: Annotated[int, Field(gt=0)]
    """Most tokens a sequence can have (the model's own limit)."""
    default_context_length: Annotated[int, Field(gt=0)]
    """What the runtime allocates pages for unless told otherwise."""
    prefill_chunk: Annotated[int, Field(gt=0)]
    max_batch: Annotated[int, Field(gt=0)]


class Tokens(Format):
    """Special tokens, resolved to ids."""

    bos: int | None
    eos: tuple[int, ...]
    """Any of these ends a generation."""
    pad: int | None


class TierMemory(Format):
    """Predicted GPU bytes of one tier, by what a load chooses.

    weights + fixed + slots · slot_bytes + outs · out_bytes + works · work_bytes
    + pages · page_bytes + 4 · slots · max_pages (the page table).
    """

    weights: int
    fixed: int
    """Activations of the largest step, and inputs of its tokens."""
    slot_bytes: int
    """Of each sequence that can run at once: counts, biases, inputs."""
    out_bytes: int
    """Of each row that a step can sample: logits, the sampler's work, results."""
    work_bytes: int
    """Of each piece of a context in `decode_split`."""
    page_bytes: int
    """KV bytes of one page over all layers."""


class Provenance(Format):
    """Where the pack came from. No time stamps: the same input gives the same bytes."""

    source: str
    revision: str | None
    webbuild_version: str


class PackManifest(Format):
    """pack.json."""

    format_version: Literal[3] = PACK_VERSION
    model: ModelInfo
    embedding: EmbeddingInfo | None = None
    """Of a model that turns texts into vectors; None: it generates text."""
    quantization: Literal["q4f16_1", "q8f16_1", "q0f16", "q0f32"]
    limits: Limits
    tokens: Tokens
    memory: dict[str, TierMemory]
    """By tier."""
    grammars: dict[str, PackGrammar] = Field(default_factory=dict)
    """By name."""
    files: tuple[PackFile, ...]
    provenance: Provenance
