"""Aliases: short names for models that people ask for (data: aliases.json).

A row has the Hub repository and the fields of its config.json that bear on the model, so that
a model of full size can be synthesised without a download.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Alias:
    """One row of aliases.json; `config` is the content of a config.json."""

    name: str
    repository: str
    config: dict[str, Any]


@cache
def aliases() -> dict[str, Alias]:
    """All aliases by name."""
    data = json.loads((files(__package__) / "aliases.json").read_text("utf-8"))
    families: dict[str, dict[str, Any]] = data["families"]
    return {
        name: Alias(name, row["repository"], {**families[row["family"]], **row["config"]})
        for name, row in data["models"].items()
    }
