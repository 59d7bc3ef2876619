"""Grammars that a pack brings along, from files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from webbuild.errors import InvalidOptionError
from webbuild.schema.pack import PackGrammar

Kind = Literal["json_schema", "regex", "ebnf"]

KINDS: dict[str, Kind] = {".json": "json_schema", ".regex": "regex", ".gbnf": "ebnf"}
"""By the file's ending."""

_OPTION = re.compile(r"(?P<name>[A-Za-z0-9_-]{1,64})=(?P<file>.+)")


def read_grammars(options: Iterable[str]) -> dict[str, PackGrammar]:
    """Of `NAME=FILE` each, by name.

    Raises InvalidOptionError for what is none, for files that cannot be read, that are empty or
    whose ending says no kind, for JSON that is no schema, and for a name that is given twice.
    """
    grammars: dict[str, PackGrammar] = {}
    for option in options:
        parts = _OPTION.fullmatch(option)
        if parts is None:
            raise InvalidOptionError(
                f"--grammar {option}: give NAME=FILE, where the name has 1 to 64 letters, digits, "
                "underscores and dashes"
            )
        name, file = parts["name"], Path(parts["file"])
        if name in grammars:
            raise InvalidOptionError(f"--grammar {option}: there is another grammar of that name")
        grammars[name] = _read(option, file)
    return grammars


def _read(option: str, file: Path) -> PackGrammar:
    kind = KINDS.get(file.suffix)
    if kind is None:
        known = ", ".join(f"{ending} ({kind})" for ending, kind in KINDS.items())
        raise InvalidOptionError(f"--grammar {option}: the file must end in one of {known}")
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"--grammar {option}: {error}") from None
    if not text:
        raise InvalidOptionError(f"--grammar {option}: the file is empty")
    if kind == "json_schema":
        text = _compact(option, text)
    return PackGrammar(kind=kind, text=text)


def _compact(option: str, text: str) -> str:
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidOptionError(f"--grammar {option}: this is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidOptionError(f"--grammar {option}: a JSON Schema is an object")
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
