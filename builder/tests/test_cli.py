"""The command line itself: help, exit codes, error lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import write_model
from webbuild import __version__
from webbuild.cli import run
from webbuild.errors import ModelNotFoundError
from webbuild.sources import aliases

COMMANDS = ("pack", "synth", "serve", "inspect", "bench")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"webbuild {command} " in text for command in ("pack", "inspect", "serve"))
    for command in COMMANDS:
        assert command in text
        assert run([command, "--help"]) == 0
        assert "Usage: webbuild" in capsys.readouterr().out
    run(["pack", "--help"])
    listed = capsys.readouterr().out
    assert all(alias in listed for alias in aliases())


def test_no_arguments_show_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    captured = capsys.readouterr()
    assert "Usage: webbuild" in captured.out + captured.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["pack"], "Usage"),
        (["bake", "x"], "Usage"),
        (["pack", "no-such-model"], "ModelNotFoundError"),
        (["synth", "no-such-model", "-o", "x"], "ModelNotFoundError"),
        (["inspect", "no-such-pack"], "NotAPackError"),
        (["serve", "no-such-site"], "CannotServeError"),
    ],
)
def test_errors_take_one_line(
    arguments: list[str],
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error[{name}]: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ModelNotFoundError):
        run(["pack", "no-such-model", "--debug"])


def test_bugs_are_told_from_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("webbuild.sources.open_source", fail)
    assert run(["pack", str(write_model(tmp_path))]) == 1
    assert "error[Internal]: ZeroDivisionError: oops; this is a bug" in capsys.readouterr().err


def test_help_does_not_wait_for_the_compiler() -> None:
    code = (
        "import sys; from webbuild.cli import run; code = run(['pack', '--help']); "
        "sys.exit(code or ('tvm' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0
