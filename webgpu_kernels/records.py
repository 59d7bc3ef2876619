"""Records of measured tunings: the database that ships, records.json, and how one grows.

A record says which tuning of a kernel was the fastest on an adapter for a tuning key. All that it
takes to make the kernel again is the tuning's name (variation.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .launch import Tier

SHIPPED = Path(__file__).with_name("records.json")


class TuningRecord(BaseModel):
    """One measurement's result."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    vendor: Annotated[str, Field(min_length=1)]
    architecture: str
    """As WebGPU's adapter info gives them."""
    tier: Tier
    key: Annotated[str, Field(pattern=r"^\S+( \w+=[1-9]\d*)*$")]
    """`KernelLaunch.tuning_key`: op, variant and shape."""
    tuning: Annotated[str, Field(min_length=1)]
    microseconds: Annotated[float, Field(gt=0)]
    """Of one launch with this tuning; the least of many."""
    baseline: Annotated[float, Field(gt=0)]
    """Of one launch with the kernel that runs anywhere, in the same run."""
    version: str
    """The webbuild that measured."""
    trace: tuple[Any, ...] | None = None
    """Of a kernel that TVM schedules: steps and decisions of its schedule, in TVM's own JSON."""
    seed: int | None = None
    """Of the search that found the trace."""

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What one record is kept for."""
        return self.vendor, self.architecture, self.tier, self.key


class RecordsError(ValueError):
    """A file is no database of records; the message names the file and the place."""


_RECORDS = TypeAdapter(list[TuningRecord])


def read_records(path: Path) -> list[TuningRecord]:
    """The records of a database file. Raises RecordsError, or OSError."""
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RecordsError(
            f"{path} holds no tuning records: {place}: {first['msg']}: tune again into a new file"
        ) from None


def merge(old: Iterable[TuningRecord], new: Iterable[TuningRecord]) -> list[TuningRecord]:
    """All records, sorted; of two for one place the later counts."""
    places = {record.place: record for record in (*old, *new)}
    return [places[place] for place in sorted(places)]


def write_records(path: Path, records: Iterable[TuningRecord]) -> None:
    """Writes a database file, a record a line; it appears whole, or not at all."""
    lines = [
        json.dumps(record.model_dump(exclude_none=True), ensure_ascii=False)
        for record in merge((), records)
    ]
    text = "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


@cache
def shipped_records() -> tuple[TuningRecord, ...]:
    """What came with this package."""
    return tuple(read_records(SHIPPED))
