"""Stands between the native executor and its device: counts calls, and times launches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import wgpu

_QUERIES = 2048


class DeviceTap:
    """A wgpu device that counts what is asked of it. Everything else goes straight through."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._recorder: Recorder | None = None
        self.queue = _QueueTap(handle.queue)
        self._launches = 0
        self._created = {"createdBuffers": 0, "createdBindGroups": 0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def counts(self) -> dict[str, int]:
        """Calls so far, by the runtime's names."""
        return {
            "steps": self.queue.submits,
            "submits": self.queue.submits,
            "writeBuffers": self.queue.writes,
            "launches": self._launches,
            **self._created,
        }

    def mark(self) -> None:
        """The next token begins."""
        if self._recorder:
            self._recorder.mark()

    @contextlib.contextmanager
    def recording(self, split: bool) -> Iterator[Recorder]:
        """Times launches (`split`: each in a pass of its own; else whole passes)."""
        self._recorder = Recorder(self._handle, split)
        try:
            yield self._recorder
        finally:
            self._recorder = None

    def create_command_encoder(self, **options: Any) -> Any:
        return _EncoderTap(self, self._handle.create_command_encoder(**options), self._recorder)

    def create_buffer(self, **options: Any) -> Any:
        self._created["createdBuffers"] += 1
        return self._handle.create_buffer(**options)

    def create_bind_group(self, **options: Any) -> Any:
        self._created["createdBindGroups"] += 1
        return self._handle.create_bind_group(**options)

    def launched(self) -> None:
        self._launches += 1


class _QueueTap:
    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.submits = 0
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def submit(self, buffers: Any) -> None:
        self.submits += 1
        self._queue.submit(buffers)

    def write_buffer(self, *args: Any) -> None:
        self.writes += 1
        self._queue.write_buffer(*args)


class Recorder:
    """Timestamps of launches, in groups of command buffers."""

    def __init__(self, handle: Any, split: bool) -> None:
        self.split = split
        self._handle = handle
        self._groups: list[list[tuple[list[tuple[str, str]], Any]]] = [[]]

    def mark(self) -> None:
        """Command buffers from here on are another group."""
        self._groups.append([])

    def query_set(self) -> Any:
        return self._handle.create_query_set(type="timestamp", count=_QUERIES)

    def resolve(self, encoder: Any, queries: Any, launches: list[tuple[str, str]]) -> None:
        """Has the queries of a command buffer written to a buffer, with it."""
        usage = wgpu.BufferUsage.QUERY_RESOLVE | wgpu.BufferUsage.COPY_SRC
        buffer = self._handle.create_buffer(size=16 * len(launches), usage=usage)
        encoder.resolve_query_set(queries, 0, 2 * len(launches), buffer, 0)
        self._groups[-1].append((launches, buffer))

    def groups(self) -> list[list[dict[str, Any]]]:
        """Launches with begin and end in ns, from the first of their group."""
        return [self._read(group) for group in self._groups]

    def _read(self, group: list[tuple[list[tuple[str, str]], Any]]) -> list[dict[str, Any]]:
        found = []
        first: int | None = None
        for launches, buffer in group:
            times = np.frombuffer(self._handle.queue.read_buffer(buffer), "<u8")
            for i, (label, kernel) in enumerate(launches):
                begin, end = int(times[2 * i]), int(times[2 * i + 1])
                first = begin if first is None else first
                launch = {"label": label, "kernel": kernel}
                found.append({**launch, "begin": begin - first, "end": end - first})
        return found


class _EncoderTap:
    def __init__(self, tap: DeviceTap, encoder: Any, recorder: Recorder | None) -> None:
        self._tap = tap
        self._encoder = encoder
        self._recorder = recorder
        self._queries = recorder.query_set() if recorder else None
        self._launches: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def begin_compute_pass(self, **options: Any) -> Any:
        if self._recorder is None:
            return _PassTap(self._tap, self._encoder.begin_compute_pass(**options))
        if self._recorder.split:
            return _SplitPass(self)
        return self.timed("", "")

    def timed(self, label: str, kernel: str) -> Any:
        """A pass with a timestamp at both ends."""
        at = 2 * len(self._launches)
        self._launches.append((label, kernel))
        return self._encoder.begin_compute_pass(
            timestamp_writes={
                "query_set": self._queries,
                "beginning_of_pass_write_index": at,
                "end_of_pass_write_index": at + 1,
            }
        )

    def finish(self) -> Any:
        if self._recorder and self._launches:
            self._recorder.resolve(self._encoder, self._queries, self._launches)
        return self._encoder.finish()


class _PassTap:
    def __init__(self, tap: DeviceTap, compute: Any) -> None:
        self._tap = tap
        self._compute = compute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compute, name)

    def dispatch_workgroups(self, *counts: int) -> None:
        self._tap.launched()
        self._compute.dispatch_workgroups(*counts)


class _SplitPass:
    """Keeps the state that is set, and opens a real pass for each dispatch."""

    def __init__(self, encoder: _EncoderTap) -> None:
        self._encoder = encoder
        self._pipeline: Any = None
        self._groups: dict[int, Any] = {}

    def set_pipeline(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def set_bind_group(self, index: int, group: Any) -> None:
        self._groups[index] = group

    def dispatch_workgroups(self, *counts: int) -> None:
        compute = self._encoder.timed(self._groups[0].label, self._pipeline.label)
        compute.set_pipeline(self._pipeline)
        for index, group in self._groups.items():
            compute.set_bind_group(index, group)
        compute.dispatch_workgroups(*counts)
        compute.end()

    def end(self) -> None:
        pass
