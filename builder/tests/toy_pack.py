"""A hand-written pack of a toy model: every seam of the formats, no compiler.

The model: x[t] = table[token[t]]; the KV cache holds x; y[t] = mean of x over its sequence up to t;
logits = (y ∘ γ) · headᵀ. `sample` is greedy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from webbuild.schema import Expr, Kernel, KernelFile, PackManifest, Program, TensorCache, Tier
from webbuild.schema.kernels import Access, kernel_id
from webbuild.schema.pack import Limits, ModelInfo, PackFile, Provenance, TierMemory, Tokens
from webbuild.schema.program import (
    Buffer,
    BufferBinding,
    Function,
    Input,
    InputBinding,
    Launch,
    Param,
    Segment,
    StorageBinding,
    Symbol,
    WeightBinding,
)
from webbuild.schema.tensor_cache import ShardRecord, TensorRecord
from webgpu_kernels.constants import mask_row_words

V, D, PAGE, CHUNK, BATCH, CONTEXT = 11, 3, 4, 8, 3, 32
SPLIT = 7  # rows of the head in its first segment
EOS = 10
MASK_ROW = mask_row_words(V)

F32 = npt.NDArray[np.float32]

SCALE = 0.5
"""Of the logits. No whole number: JSON would not tell it from an integer."""

_HEADER = """
struct Params {{ {params} }}
{bindings}
@group(0) @binding({n}) var<uniform> p: Params;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
  let i = id.x;
{body}
}}
"""


@dataclass(frozen=True)
class Toy:
    """The toy model's weights, and what they compute."""

    table: F32
    gamma: npt.NDArray[np.float16]
    head: F32

    @classmethod
    def random(cls) -> Toy:
        rng = np.random.default_rng(7)
        return cls(
            rng.standard_normal((V, D), np.float32),
            rng.standard_normal(D).astype(np.float16),
            rng.standard_normal((V, D), np.float32),
        )

    def logits(self, tokens: list[int]) -> F32:
        """f32 [tokens, V]: logits at every position."""
        x = self.table[tokens]
        y: F32 = np.cumsum(x, axis=0) / np.arange(1, len(x) + 1, dtype=np.float32)[:, None]
        result: F32 = (y * self.gamma.astype(np.float32)) @ self.head.T * np.float32(SCALE)
        return result


def _kernel(
    name: str, kv: str, bindings: dict[str, tuple[str, Access]], params: dict[str, str], body: str
) -> Kernel:
    lines = [
        f"@group(0) @binding({i}) var<storage, {access}> {key}: array<{kind}>;"
        for i, (key, (kind, access)) in enumerate(bindings.items())
    ]
    wgsl = _HEADER.format(
        params=", ".join(f"{key}: {kind}" for key, kind in params.items()),
        bindings="\n".join(lines),
        n=len(bindings),
        body=body.replace("KV", kv),
    )
    half = kv == "f16" and any(kind == "f16" for kind, _ in bindings.values())
    return Kernel(
        name=name,
        origin="library",
        wgsl=("enable f16;\n" if half else "") + wgsl,
        entry_point="main",
        workgroup_size=(64, 1, 1),
        bindings=tuple(access for _, access in bindings.values()),
        params=tuple(params.values()),  # type: ignore[arg-type]
        features=("shader-f16",) if half else (),
    )


def _kernels(kv: str) -> dict[str, Kernel]:
    page = f"""
  let page = page_table[u32(token_seq[t]) * p.max_pages + j / {PAGE}u];
  let at = (u32(page) * {PAGE}u + j % {PAGE}u) * {D}u + d;"""
    places: dict[str, tuple[str, Access]] = {
        "positions": ("i32", "read"),
        "token_seq": ("i32", "read"),
        "page_table": ("i32", "read"),
    }
    return {
        "embed": _kernel(
            "embed",
            kv,
            {
                "token_ids": ("i32", "read"),
                "last_tokens": ("i32", "read"),
                "table": ("f32", "read"),
                "x": ("f32", "read_write"),
            },
            {"tokens": "u32"},
            f"""if (i >= p.tokens * {D}u) {{ return; }}
  var token = token_ids[i / {D}u];
  if (token < 0) {{ token = last_tokens[-1 - token]; }}
  x[i] = table[u32(token) * {D}u + i % {D}u];""",
        ),
        "append": _kernel(
            "append",
            kv,
            {"x": ("f32", "read"), **places, "kv": (kv, "read_write")},
            {"tokens": "u32", "max_pages": "u32"},
            f"""if (i >= p.tokens * {D}u) {{ return; }}
  let t = i / {D}u; let d = i % {D}u; let j = u32(positions[t]);{page}
  kv[at] = KV(x[i]);""",
        ),
        "mean": _kernel(
            "mean",
            kv,
            {"kv": (kv, "read"), **places, "y": ("f32", "read_write")},
            {"tokens": "u32", "max_pages": "u32"},
            f"""if (i >= p.tokens * {D}u) {{ return; }}
  let t = i / {D}u; let d = i % {D}u; let n = u32(positions[t]) + 1u; var sum = 0.0;
  for (var j = 0u; j < n; j++) {{{page}
    sum += f32(kv[at]);
  }}
  y[i] = sum / f32(n);""",
        ),
        "head": _kernel(
            "head",
            kv,
            {
                "y": ("f32", "read"),
                "rows": ("i32", "read"),
                "gamma": ("f32", "read"),
                "head": ("f32", "read"),
                "logits": ("f32", "read_write"),
            },
            {"outs": "u32", "first": "u32", "count": "u32", "scale": "f32"},
            f"""if (i >= p.outs * p.count) {{ return; }}
  let s = i / p.count; let v = i % p.count; var dot = 0.0;
  for (var d = 0u; d < {D}u; d++) {{
    dot += y[u32(rows[s]) * {D}u + d] * gamma[d] * head[v * {D}u + d];
  }}
  logits[s * {V}u + p.first + v] = dot * p.scale;""",
        ),
        "sample": _kernel(
            "sample",
            kv,
            {
                "logits": ("f32", "read"),
                "slots": ("i32", "read"),
                "bias": ("f32", "read"),
                "counts": ("u32", "read_write"),
                "last_tokens": ("i32", "read_write"),
                "sampled": ("u32", "read_write"),
            },
            {"outs": "u32"},
            f"""if (i >= p.outs) {{ return; }}
  var best = 0u; let own = u32(slots[i]); let slot = own * {V}u;
  for (var v = 1u; v < {V}u; v++) {{
    if (logits[i * {V}u + v] + bias[slot + v] > logits[i * {V}u + best] + bias[slot + best]) {{
      best = v;
    }}
  }}
  sampled[i * 64u] = best; last_tokens[own] = i32(best); counts[slot + best] += 1u;""",
        ),
        "logprobs": _kernel(
            "logprobs",
            kv,
            {"logits": ("f32", "read"), "sampled": ("u32", "read_write")},
            {"outs": "u32"},
            f"""if (i >= p.outs) {{ return; }}
  var sum = 0.0;
  for (var v = 0u; v < {V}u; v++) {{ sum += exp(logits[i * {V}u + v]); }}
  let token = sampled[i * 64u];
  let value = bitcast<u32>(logits[i * {V}u + token] - log(sum));
  sampled[i * 64u + 1u] = value; sampled[i * 64u + 4u] = token; sampled[i * 64u + 24u] = value;""",
        ),
    }


def _tier(kv: str, kernels: dict[str, Kernel]) -> Tier:
    ids = {name: kernel_id(kernel.wgsl, kernel.entry_point) for name, kernel in kernels.items()}

    def buffer(name: str) -> BufferBinding:
        return BufferBinding(name=name)

    x, y = StorageBinding(index=0), StorageBinding(index=1)
    table, gamma, *head = (WeightBinding(segment=i) for i in range(4))
    places = tuple(InputBinding(name=name) for name in ("positions", "token_seq", "page_table"))
    tokens = Param(dtype="u32", value="tokens")
    outs = Param(dtype="u32", value="outs")

    def grid(items: Expr) -> tuple[Expr, Expr, Expr]:
        return (("//", ("+", items, 63), 64), 1, 1)

    rows: Expr = ("*", "tokens", D)
    forward = Function(
        params=(
            (tokens,),
            (tokens, Param(dtype="u32", value="max_pages")),
            *(
                (
                    outs,
                    Param(dtype="u32", value=first),
                    Param(dtype="u32", value=count),
                    Param(dtype="f32", value=SCALE),
                )
                for first, count in ((0, SPLIT), (SPLIT, V - SPLIT))
            ),
        ),
        launches=(
            Launch(
                kernel=ids["embed"],
                label="embed",
                bindings=(InputBinding(name="token_ids"), buffer("last_tokens"), table, x),
                params=0,
                grid=grid(rows),
            ),
            Launch(
                kernel=ids["append"],
                label="layers.0.append",
                bindings=(x, *places, buffer("kv_k.0")),
                params=1,
                grid=grid(rows),
            ),
            Launch(
                kernel=ids["mean"],
                label="layers.0.mean",
                bindings=(buffer("kv_k.0"), *places, y),
                params=1,
                grid=grid(rows),
            ),
            *(
                Launch(
                    kernel=ids["head"],
                    label="head",
                    bindings=(y, InputBinding(name="logit_rows"), gamma, weight, buffer("logits")),
                    params=2 + i,
                    grid=grid(("*", "outs", V)),
                )
                for i, weight in enumerate(head)
            ),
        ),
    )
    sample = Launch(
        kernel=ids["sample"],
        label="sample",
        bindings=(
            buffer("logits"),
            InputBinding(name="slots"),
            buffer("logit_bias"),
            buffer("token_counts"),
            buffer("last_tokens"),
            buffer("sampled"),
        ),
        params=0,
        grid=grid("outs"),
    )
    logprobs = Launch(
        kernel=ids["logprobs"],
        label="logprobs",
        bindings=(buffer("logits"), buffer("sampled")),
        params=0,
        grid=grid("outs"),
    )
    return Tier(
        requires=("shader-f16",) if kv == "f16" else (),
        kv_dtype="f16" if kv == "f16" else "f32",
        storages=(("*", "tokens", 4 * D), ("*", "tokens", 4 * D)),
        buffers=(
            Buffer(name="last_tokens", dtype="i32", shape=("slots",)),
            Buffer(
                name="kv_k.0", dtype="f16" if kv == "f16" else "f32", shape=("pages", 1, PAGE, D)
            ),
            Buffer(name="logits", dtype="f32", shape=("outs", V)),
            Buffer(name="token_counts", dtype="u32", shape=("slots", V)),
            Buffer(name="logit_bias", dtype="f32", shape=("slots", V)),
            Buffer(name="masks", dtype="u32", shape=(("+", "slots", 16), MASK_ROW)),
            Buffer(name="sampled", dtype="u32", shape=("outs", 64)),
        ),
        functions={
            "prefill": forward,
            "decode": forward,
            "sample": Function(params=((outs,),), launches=(sample,)),
            "logprobs": Function(params=((outs,),), launches=(logprobs,)),
        },
    )


def toy_program() -> tuple[Program, KernelFile]:
    """program.json and kernels.json of the toy, with the tiers f16 and f32."""
    tiers = {kv: _kernels(kv) for kv in ("f16", "f32")}
    kernels = {
        kernel_id(kernel.wgsl, kernel.entry_point): kernel
        for tier in tiers.values()
        for kernel in tier.values()
    }
    program = Program(
        page_size=PAGE,
        symbols=(
            Symbol(name="tokens", description="new tokens", scope="step", max=CHUNK),
            Symbol(name="seqs", description="sequences", scope="step", max=BATCH),
            Symbol(name="outs", description="sampled rows", scope="step", max=2 * BATCH),
            Symbol(name="q_tiles", description="attention tiles", scope="step", max=1 + BATCH),
            Symbol(name="pages", description="pages of the pool", scope="load"),
            Symbol(name="max_pages", description="pages of a sequence", scope="load"),
            Symbol(name="slots", description="sampler slots", scope="load"),
        ),
        inputs=(
            Input(name="token_ids", dtype="i32", shape=("tokens",)),
            Input(name="positions", dtype="i32", shape=("tokens",)),
            Input(name="token_seq", dtype="i32", shape=("tokens",)),
            Input(name="page_table", dtype="i32", shape=("seqs", "max_pages")),
            Input(name="logit_rows", dtype="i32", shape=("outs",)),
            Input(name="slots", dtype="i32", shape=("outs",)),
            Input(name="sampling", dtype="u32", shape=("outs", 16)),
        ),
        segments=(
            Segment(tensor="table", offset=0, nbytes=V * D * 4),
            Segment(tensor="gamma", offset=0, nbytes=D * 2, transform="f16_to_f32"),
            Segment(tensor="head", offset=0, nbytes=SPLIT * D * 4),
            Segment(tensor="head", offset=SPLIT * D * 4, nbytes=(V - SPLIT) * D * 4),
        ),
        tiers={kv: _tier(kv, kernels) for kv, kernels in tiers.items()},
    )
    return program, KernelFile(kernels=kernels)


def write_toy_pack(folder: Path) -> Toy:
    """Writes the pack into `folder` (existing, empty) and returns the model in it."""
    toy = Toy.random()
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "table": toy.table,
        "gamma": toy.gamma,
        "head": toy.head,
    }
    shard = b"".join(array.tobytes() for array in tensors.values())
    records, offset = [], 0
    for name, array in tensors.items():
        records.append(
            TensorRecord(
                name=name,
                shape=array.shape,
                dtype="float16" if array.dtype == np.float16 else "float32",
                format="raw",
                nbytes=array.nbytes,
                byteOffset=offset,
            )
        )
        offset += array.nbytes
    program, kernels = toy_program()
    cache = TensorCache(
        records=(
            ShardRecord(
                dataPath="params_shard_0.bin",
                format="raw-shard",
                nbytes=len(shard),
                records=tuple(records),
            ),
        )
    )
    files = {
        "program.json": ("program", program.model_dump_json().encode()),
        "kernels.json": ("kernels", kernels.model_dump_json().encode()),
        "tensor-cache.json": ("tensor_cache", cache.model_dump_json().encode()),
        "params_shard_0.bin": ("weights", shard),
    }
    for name, (_, data) in files.items():
        (folder / name).write_bytes(data)
    manifest = PackManifest(
        model=ModelInfo(
            name="toy",
            architecture="Toy",
            family="toy",
            parameters=2 * V * D + D,
            vocab_size=V,
            hidden_size=D,
            layers=1,
            heads=1,
            kv_heads=1,
            head_dim=D,
            intermediate_size=0,
            tied_embeddings=False,
            config={},
        ),
        quantization="q0f32",
        limits=Limits(
            context_length=CONTEXT,
            default_context_length=CONTEXT,
            prefill_chunk=CHUNK,
            max_batch=BATCH,
        ),
        tokens=Tokens(bos=None, eos=(EOS,), pad=None),
        memory={
            kv: TierMemory(
                weights=0,
                fixed=0,
                slot_bytes=0,
                out_bytes=0,
                work_bytes=0,
                page_bytes=PAGE * D * size,
            )
            for kv, size in (("f16", 2), ("f32", 4))
        },
        files=tuple(
            PackFile(
                path=name,
                role=role,  # type: ignore[arg-type]
                nbytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
            for name, (role, data) in files.items()
        ),
        provenance=Provenance(source="toy", revision=None, webbuild_version="0"),
    )
    (folder / "pack.json").write_bytes(manifest.model_dump_json().encode())
    return toy
