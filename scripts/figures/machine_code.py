"""What Mesa's compilers make of kernels for AMD and Intel GPUs, on machines that have none.

Dawn compiles them for a GPU that Mesa's driver believes to have (scripts/software_gpu), and the
driver tells of the code: how many registers a kernel needs, whether some of them live in memory,
how many cycles the compiler expects; not how fast memory is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.figures.builds import REPOSITORY
from webbuild.compile import compile_model
from webbuild.native.choose import choose_kernels
from webbuild.schema import Kernel
from webbuild.schema.program import Few, Launch
from webbuild.sources.aliases import aliases
from webgpu_kernels.launch import NARROW

_SOFTWARE_GPU = REPOSITORY / ".cache" / "software-gpu"
_COMPILE = REPOSITORY / "scripts" / "figures" / "compile_kernels.mjs"

AMD = ("RAVEN", "VANGOGH", "NAVI31")
"""Mesa's names of GPUs: of laptops since 2018 and 2021 and of desktops since 2022."""

INTEL = {"KBL": "5917", "TGL": "9a49", "LNL": "64a0"}
"""PCI ids by Mesa's names: of laptops since 2017, 2020 and 2024."""

WITHOUT_SUBGROUPS = ("KBL",)
"""GPUs to which Dawn gives none."""

GPUS = (*AMD, *INTEL)


class NoCompilerError(Exception):
    """The compiler is not there."""


@dataclass(frozen=True, slots=True)
class AmdCode:
    """The code of one kernel. Its registers are vector registers: 32 bits of each invocation."""

    registers: int
    spilled: int
    """Registers that live in memory, scalar ones too."""
    subgroups: int
    """Most that one SIMD unit holds at once."""
    workgroup_bytes: int
    nbytes: int
    instructions: int
    vector_instructions: int
    latency: int
    """Cycles of one subgroup, as the compiler expects them; of loops it guesses the turns."""
    cycles: int
    """The same of a unit that always has a subgroup to go on with."""
    text: str
    """The assembly, if it was asked for."""


@dataclass(frozen=True, slots=True)
class IntelCode:
    """The code of one kernel. A thread has 4 KiB of registers (Xe2: 8) for all its invocations."""

    lanes: int
    """Invocations of a subgroup: Dawn asks Mesa for 16 where a GPU can run fewer."""
    spilled: int
    """Stores of registers to memory and loads of them, once each."""
    spilled_inside: int
    """Of these, those in loops that hold no other loop, which take most of the time."""
    nbytes: int
    instructions: int
    cycles: int
    """Of one subgroup, as the compiler expects them; of loops it guesses the turns."""
    text: str
    """The assembly."""


MachineCode = AmdCode | IntelCode


def kernels_of(
    model: str, quant: str, tier: str, gpu: str = ""
) -> dict[str, tuple[Kernel, list[str]]]:
    """Those that a GPU takes of a model (an alias), with the functions that launch them."""
    compiled = compile_model({**aliases()[model].config, "num_hidden_layers": 2}, quant)
    kernels = compiled.kernels.kernels
    offered = compiled.program.tiers[tier]
    features = {*offered.requires}
    if gpu not in WITHOUT_SUBGROUPS:
        features |= {"subgroups", *([NARROW] if gpu in INTEL else [])}
    chosen = choose_kernels(offered, kernels, features, software=False)
    users: dict[str, tuple[Kernel, list[str]]] = {}
    for name, function in chosen.functions.items():
        launches: list[Launch | Few] = [*function.launches]
        launches += [one for few in function.few for one in few]
        for key in dict.fromkeys(launch.kernel for launch in launches):
            users.setdefault(key, (kernels[key], []))[1].append(name)
    return users


def compile_for_amd(
    gpu: str, kernels: Mapping[str, Kernel], *, assembly: bool = False
) -> dict[str, AmdCode]:
    """gpu: of AMD, or another name that RADV_FORCE_FAMILY takes.

    Raises NoCompilerError, and what a kernel is refused for as ValueError.
    """
    debug = "shaderstats,shaders,asm" if assembly else "shaderstats"
    env = {"RADV_DEBUG": debug, "RADV_FORCE_FAMILY": gpu}
    told = _compile("amd", gpu, kernels, env, "Code size: ")
    return {key: _parse_amd(text) for key, text in told.items()}


def compile_for_intel(gpu: str, kernels: Mapping[str, Kernel]) -> dict[str, IntelCode]:
    """gpu: of INTEL. Raises NoCompilerError, and what a kernel is refused for as ValueError."""
    env = {"INTEL_DEBUG": "cs", "NO_HARDWARE_INTEL": INTEL[gpu]}
    told = _compile("intel", gpu, kernels, env, "Native code for")
    return {key: _parse_intel(text) for key, text in told.items()}


TRIES = 4


def _compile(
    maker: str, gpu: str, kernels: Mapping[str, Kernel], env: Mapping[str, str], mark: str
) -> dict[str, str]:
    """What the driver tells of each kernel, with `mark` in it: on a busy machine it sometimes tells
    nothing of one, and is asked again."""
    told: dict[str, str] = {}
    for _ in range(TRIES):
        left = {key: kernel for key, kernel in kernels.items() if key not in told}
        told |= {k: text for k, text in _tell(maker, gpu, left, env).items() if mark in text}
        if len(told) == len(kernels):
            return {key: told[key] for key in kernels}
    raise ValueError(f"Mesa's compiler for {gpu} says nothing of {sorted(kernels.keys() - told)}")


def _tell(
    maker: str, gpu: str, kernels: Mapping[str, Kernel], env: Mapping[str, str]
) -> dict[str, str]:
    """What the driver tells of each kernel, if anything."""
    settings = _SOFTWARE_GPU / f"{maker}.sh"
    if not settings.exists():
        raise NoCompilerError(
            f"Mesa's compiler for {gpu} comes with the software GPU, on Debian: run "
            "`WEBBUILD_ADAPTER=lavapipe make setup`"
        )
    dumped = [{"id": key, **one.model_dump(mode="json")} for key, one in kernels.items()]
    process = subprocess.run(
        ["bash", "-c", f". {shlex.quote(str(settings))} && exec node {_COMPILE} --announce"],
        input=json.dumps(dumped),
        capture_output=True,
        text=True,
        env={**os.environ, "MESA_SHADER_CACHE_DISABLE": "true", **env},
    )
    told = dict(part.partition("\n")[::2] for part in re.split(r"\n=== ", process.stderr)[1:])
    if process.returncode or told.keys() != kernels.keys():
        raise ValueError(f"Dawn does not compile for {gpu}:\n{process.stderr[-2000:]}")
    return told


def _parse_amd(text: str) -> AmdCode:
    fields = {name: int(value) for name, value in re.findall(r"^([A-Z][\w ]+): (\d+)$", text, re.M)}
    return AmdCode(
        registers=fields["VGPRs"],
        spilled=fields["Spilled VGPRs"] + fields["Spilled SGPRs"],
        subgroups=fields["Subgroups per SIMD"],
        workgroup_bytes=fields["LDS size"],
        nbytes=fields["Code size"],
        instructions=fields["Instructions"],
        vector_instructions=fields["VALU"],
        latency=fields["Latency"],
        cycles=fields["Inverse Throughput"],
        text=text,
    )


_INTEL = re.compile(
    r"SIMD(\d+) shader: (\d+) instructions\. \d+ loops\. (\d+) cycles\. (\d+):(\d+) spills:fills"
    r".* Compacted \d+ to (\d+) bytes"
)
_SPILL = re.compile(r"bti 253|, ss \)")
"""In a message: the surface of the registers that live in memory, before and since Xe-HPG."""


def _parse_intel(text: str) -> IntelCode:
    code = text[text.index("Native code for") :]
    found = _INTEL.search(code)
    if not found:
        raise ValueError(f"no statistics in what the driver tells:\n{code[:500]}")
    lanes, instructions, cycles, spills, fills, nbytes = map(int, found.groups())
    return IntelCode(
        lanes=lanes,
        spilled=spills + fills,
        spilled_inside=_spilled_inside(code),
        nbytes=nbytes,
        instructions=instructions,
        cycles=cycles,
        text=code,
    )


def _spilled_inside(code: str) -> int:
    """Blocks begin with "START B8" and end with "END B8 ->B7 ->B9": an edge back closes a loop. A
    loop's first block may hold nothing, and then has an end only."""
    _before, *blocks = re.split(r"START B(\d+)", code)
    loops = {
        (int(target), int(number))
        for number, targets in re.findall(r"END B(\d+)((?: ->B\d+)*)", code)
        for target in re.findall(r"\d+", targets)
        if int(target) <= int(number)
    }
    innermost = [
        (first, last)
        for first, last in loops
        if not any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops)
    ]
    return sum(
        len(_SPILL.findall(body))
        for number, body in zip(map(int, blocks[::2]), blocks[1::2], strict=True)
        if any(first <= number <= last for first, last in innermost)
    )
