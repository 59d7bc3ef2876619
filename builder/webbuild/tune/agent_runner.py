"""Measures where an agent of the runtime is: in Node on Dawn, or in a browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from webbuild.bench.agent import Agent
from webbuild.schema.tuning import AdapterKind

from .case import KernelCase, Measurement
from .runner import Adapter

#: As in wgpu_runner.py. Browsers round timestamps to 0.1 ms, which is a fortieth of a sample.
LEAST_MS = 4.0
SAMPLES = 7


class AgentRunner:
    """Use `open`. samples: of each case in a measurement."""

    def __init__(self, agent: Agent, adapter: Adapter, samples: int = SAMPLES) -> None:
        self._agent = agent
        self._samples = samples
        self.adapter = adapter

    @classmethod
    async def open(cls, agent: Agent, samples: int = SAMPLES) -> Self:
        """Asks the agent for its adapter. Raises BenchmarkFailedError."""
        found = await agent.call("kernelAdapter", None)
        adapter = Adapter(
            AdapterKind(found["vendor"], found["architecture"]),
            found["description"],
            frozenset(found["features"]),
            found["software"],
        )
        return cls(agent, adapter, samples)

    async def measure(self, cases: Sequence[KernelCase]) -> list[Measurement]:
        """See Runner; the page itself compares results."""
        problem = {
            "arrays": [array.to_json() for array in cases[0].arrays],
            "outputs": cases[0].outputs,
            "cases": [_case(case) for case in cases],
            "samples": self._samples,
            "leastMs": LEAST_MS,
        }
        return [
            Measurement(one["seconds"], one["median"], one["difference"], one["failure"])
            for one in await self._agent.call("kernels", problem)
        ]


def _case(case: KernelCase) -> dict[str, Any]:
    return {
        "name": case.name,
        "wgsl": case.wgsl,
        "entryPoint": case.entry_point,
        "access": case.access,
        "params": case.params,
        "grid": case.grid,
    }
