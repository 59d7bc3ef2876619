"""Measures in this process, on wgpu: the same commands that a page answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from webbuild.errors import InvalidOptionError, MissingExtraError

_SETUP = "--in native needs wgpu: pip install 'webbuild[native]'"


@contextlib.asynccontextmanager
async def native_agent() -> AsyncIterator[NativeAgent]:
    """wgpu on this machine's adapter. Raises MissingExtraError or NoAdapterError."""
    try:
        yield NativeAgent()
    except ModuleNotFoundError as error:
        if error.name != "wgpu":
            raise
        raise MissingExtraError(_SETUP) from None


class NativeAgent:
    """Answers as the agent of the runtime does, at once."""

    def __init__(self) -> None:
        from webbuild.native.device import open_device

        from .tap import DeviceTap

        found = open_device()
        self._tap = DeviceTap(found.handle)
        self._device = replace(found, handle=self._tap)
        self._models: dict[str, Any] = {}

    def url(self, folder: Path) -> str:
        """The folder itself."""
        return str(folder)

    async def call(self, method: str, args: Any, _: Any = None) -> Any:
        """The result of one command."""
        match method:
            case "describe":
                return self._describe()
            case "bandwidth":
                from .bandwidth import measure_bandwidth

                return measure_bandwidth(self._device.handle, args["nbytes"])
            case "load":
                return self._load(args)
            case "generate":
                return self._generate(args["subject"], args["what"])
            case "profile":
                return self._profile(args["subject"], args["what"], args["mode"])
        raise AssertionError(method)

    def _describe(self) -> dict[str, Any]:
        import wgpu

        return {"version": 1, "where": f"wgpu {wgpu.__version__} in Python"}

    def _load(self, args: Mapping[str, Any]) -> dict[str, Any]:
        from webbuild.native import NativeModel

        options = args["options"]
        began = time.perf_counter()
        model = NativeModel.open(
            args["pack"], options.get("tier"), options["contextLength"], device=self._device
        )
        # Drivers compile late: a load ends when a token could come.
        self._models[args["subject"]] = model
        self._generate(args["subject"], {"start": 0, "prompt": 1, "tokens": 2})
        total = (time.perf_counter() - began) * 1e3
        manifest = model.pack.manifest
        functions = model.pack.program.tiers[model.tier].functions
        return {
            "total": total,
            "parts": None,
            "timestamps": "timestamp-query" in self._device.features,
            "info": {
                "model": {"name": manifest.model.name},
                "quantization": manifest.quantization,
                "tier": model.tier,
                "contextLength": model.context_length,
                "bytes": {"total": model.nbytes},
                "adapter": {
                    "vendor": "",
                    "architecture": "",
                    "description": self._device.adapter,
                },
                "launches": {name: len(f.launches) for name, f in functions.items()},
            },
        }

    def _generate(self, subject: str, what: Mapping[str, int]) -> dict[str, Any]:
        model, tap = self._models[subject], self._tap
        start, prompt, tokens = what["start"], what["prompt"], what["tokens"]
        if start + prompt + tokens > model.context_length:
            raise InvalidOptionError(f"a context of {model.context_length} tokens is too short")
        sequence = model.sequence()
        try:
            sequence.length = start
            arrivals = []
            began = time.perf_counter()
            model.prefill(sequence, [(i * 7919 + 13) % model.vocab_size for i in range(prompt)])
            model.sample()
            arrivals.append((time.perf_counter() - began) * 1e3)
            before = tap.counts()
            for _ in range(tokens - 1):
                tap.mark()
                model.decode([sequence])
                model.sample()
                arrivals.append((time.perf_counter() - began) * 1e3)
            counts = {name: count - before[name] for name, count in tap.counts().items()}
        finally:
            model.release(sequence)
        return {
            "promptTokens": prompt,
            "completionTokens": tokens,
            "prefill": arrivals[0],
            "decode": arrivals[-1] - arrivals[0],
            "detail": {
                "decodeCounts": counts,
                "jsPerToken": None,
                "arrivals": arrivals,
                "steps": [],
            },
        }

    def _profile(self, subject: str, what: Mapping[str, int], mode: str) -> list[dict[str, Any]]:
        with self._tap.recording(split=mode == "launch") as recorder:
            self._generate(subject, what)
        # The first group is the prompt; each other one a token: its decode and its sample.
        return [
            {"tokens": what["prompt"] if i == 0 else 1, "launches": launches}
            for i, launches in enumerate(recorder.groups())
        ]
