"""Grammars that a pack brings along: what becomes of files, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from webbuild.errors import InvalidOptionError
from webbuild.pack.grammars import read_grammars
from webbuild.schema.pack import PackGrammar


def write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_kinds_by_the_ending(tmp_path: Path) -> None:
    schema = write(tmp_path, "a.json", '{ "type": "object",\n "title": "größe" }\n')
    pattern = write(tmp_path, "b.regex", "[a-z]+=[0-9]+\n")
    rules = write(tmp_path, "c=c.gbnf", 'root ::= "yes" | "no"\n')
    assert read_grammars([f"weather={schema}", f"pair={pattern}", f"x-1={rules}"]) == {
        "weather": PackGrammar(kind="json_schema", text='{"type":"object","title":"größe"}'),
        "pair": PackGrammar(kind="regex", text="[a-z]+=[0-9]+"),
        "x-1": PackGrammar(kind="ebnf", text='root ::= "yes" | "no"'),
    }
    assert read_grammars([]) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "a", "must end in one of"),
        ("a.json", "{", "this is no JSON"),
        ("a.json", "[]", "is an object"),
        ("a.regex", " \n", "is empty"),
        ("a.gbnf", b"\xff", "can't decode"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        read_grammars([f"x={write(tmp_path, name, text)}"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["weather"], "give NAME=FILE"),
        (["a b=c.json"], "give NAME=FILE"),
        (["=c.json"], "give NAME=FILE"),
        (["x=nowhere/c.json"], "No such file"),
    ],
)
def test_bad_options(options: list[str], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        read_grammars(options)


def test_a_name_can_be_given_once(tmp_path: Path) -> None:
    option = f"x={write(tmp_path, 'a.regex', 'a')}"
    with pytest.raises(InvalidOptionError, match="another grammar of that name"):
        read_grammars([option, option])
