"""What Mesa's compiler makes of kernels for AMD GPUs, on machines that have none.

Dawn compiles them for a GPU that Mesa's driver pretends to have (scripts/software_gpu), and the
driver tells of the code. It says how many registers a kernel needs, so how many subgroups run at
once, whether any of them spill, and how many cycles the compiler expects; not how fast memory is.
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

_SETTINGS = REPOSITORY / ".cache" / "software-gpu" / "amd.sh"
_COMPILE = REPOSITORY / "scripts" / "figures" / "compile_kernels.mjs"

#: GPUs by their names in Mesa: of laptops since 2018 and 2021 and of desktops since 2022.
GPUS = ("RAVEN", "VANGOGH", "NAVI31")


class NoCompilerError(Exception):
    """The compiler is not there."""


@dataclass(frozen=True, slots=True)
class MachineCode:
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


def kernels_of(model: str, quant: str, tier: str) -> dict[str, tuple[Kernel, list[str]]]:
    """Those that a GPU takes of a model (an alias), with the functions that launch them."""
    compiled = compile_model({**aliases()[model].config, "num_hidden_layers": 2}, quant)
    kernels = compiled.kernels.kernels
    offered = compiled.program.tiers[tier]
    chosen = choose_kernels(offered, kernels, {"subgroups", *offered.requires}, software=False)
    users: dict[str, tuple[Kernel, list[str]]] = {}
    for name, function in chosen.functions.items():
        launches: list[Launch | Few] = [*function.launches]
        launches += [one for few in function.few for one in few]
        for key in dict.fromkeys(launch.kernel for launch in launches):
            users.setdefault(key, (kernels[key], []))[1].append(name)
    return users


def compile_for(
    gpu: str, kernels: Mapping[str, Kernel], *, assembly: bool = False
) -> dict[str, MachineCode]:
    """gpu: a name that RADV_FORCE_FAMILY takes.

    Raises NoCompilerError, and what a kernel is refused for as ValueError.
    """
    if not _SETTINGS.exists():
        raise NoCompilerError(
            "Mesa's compiler for AMD GPUs comes with the software GPU, on Debian: run "
            "`WEBBUILD_ADAPTER=lavapipe make setup`"
        )
    dumped = [{"id": key, **one.model_dump(mode="json")} for key, one in kernels.items()]
    process = subprocess.run(
        ["bash", "-c", f". {shlex.quote(str(_SETTINGS))} && exec node {_COMPILE} --announce"],
        input=json.dumps(dumped),
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "MESA_SHADER_CACHE_DISABLE": "true",
            "RADV_DEBUG": "shaderstats,shaders,asm" if assembly else "shaderstats",
            "RADV_FORCE_FAMILY": gpu,
        },
    )
    told = dict(part.partition("\n")[::2] for part in re.split(r"\n=== ", process.stderr)[1:])
    if process.returncode or told.keys() != kernels.keys():
        raise ValueError(f"Dawn does not compile for {gpu}:\n{process.stderr[-2000:]}")
    return {key: _parse(text) for key, text in told.items()}


def _parse(text: str) -> MachineCode:
    fields = {name: int(value) for name, value in re.findall(r"^([A-Z][\w ]+): (\d+)$", text, re.M)}
    return MachineCode(
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
