"""The command line itself: help, exit codes, error lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import write_model
from webbuild import __version__
from webbuild.cli import run
from webbuild.errors import ModelNotFoundError
from webbuild.sources import aliases

COMMANDS = ("pack", "synth", "serve", "inspect", "verify", "bench", "tune")


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
    assert captured.err.startswith("Usage: webbuild")
    assert "\n  webbuild" in captured.err or "\n    webbuild pack" in captured.err
    assert "..." not in captured.err.partition("Commands:")[2]


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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(13, "Permission denied", "/a/config.json"),
            "/a/config.json cannot be use",
        ),
        (OSError(28, "No space left on device"), "a write failed: No space left on device; free"),
    ],
)
def test_what_the_system_refuses_is_no_bug(
    error: OSError,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("webbuild.sources.open_source", fail)
    assert run(["pack", str(write_model(tmp_path))]) == 2
    assert f"error[FileAccessError]: {words}" in capsys.readouterr().err


def test_what_comes_next_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_model(tmp_path)
    assert run(["synth", str(source), "-o", str(tmp_path / "my model"), "-q"]) == 0
    assert capsys.readouterr().out == ""
    assert run(["synth", str(source), "-o", str(tmp_path / "my model"), "--force"]) == 0
    assert f"Next: webbuild pack '{tmp_path}/my model'\n" in capsys.readouterr().out


_BUSY = """
import asyncio, signal, sys, time
from webbuild import __main__ as command, cli

async def work():
    signal.raise_signal(getattr(signal, sys.argv[1]))
    time.sleep(0.2)
    print("went on")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
cli.run = lambda arguments: asyncio.run(work())
command.main()
"""

_EARLY = """
import sys
from webbuild import __main__ as command

class Interrupted:
    def find_spec(self, name, *_):
        if name == "webbuild.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
command.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_ctrl_c_is_heard_where_nothing_waits(name: str) -> None:
    """As when the native executor computes for minutes within asyncio."""
    done = subprocess.run([sys.executable, "-c", _BUSY, name], capture_output=True, text=True)
    assert done.stdout == "", done.stderr
    assert "KeyboardInterrupt" in done.stderr


def test_ctrl_c_while_parts_are_imported_shows_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", _EARLY], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_tables_are_printed_in_any_locale(encoding: str) -> None:
    code = "from webbuild import __main__ as command, cli; cli.run = print; command.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "3 × 4"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).strip() == f"['3 {'?' if encoding == 'ascii' else '×'} 4']"


def test_a_reader_that_goes_away_ends_the_command() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "webbuild", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        assert command.stdout and command.stderr
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 1


def test_help_does_not_wait_for_the_compiler() -> None:
    code = (
        "import sys; from webbuild.cli import run; code = run(['pack', '--help']); "
        "sys.exit(code or ('tvm' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0
