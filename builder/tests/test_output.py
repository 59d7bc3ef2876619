"""Directories that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from webbuild.errors import DiskFullError, OutputExistsError, OutputNotWritableError
from webbuild.pack.output import atomic_directory, check_space


def write(target: Path, content: str = "{}", force: bool = False) -> None:
    with atomic_directory(target, force) as folder:
        (folder / "pack.json").write_text(content)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "made" / "for" / "it"
    with atomic_directory(target, force=False) as folder:
        (folder / "pack.json").write_text("{}")
        assert not target.exists()
    assert contents(target) == ["pack.json"]
    assert contents(target.parent) == ["it"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_after_a_failure(tmp_path: Path, error: type[BaseException]) -> None:
    write(tmp_path / "old", "old")
    for target in ("new", "old"):
        with pytest.raises(error), atomic_directory(tmp_path / target, force=True) as folder:
            (folder / "pack.json").write_text("new")
            raise error
    assert contents(tmp_path) == ["old"]
    assert (tmp_path / "old" / "pack.json").read_text() == "old"


def test_replaces_packs_only_when_told(tmp_path: Path) -> None:
    target = tmp_path / "pack"
    write(target, "one")
    with pytest.raises(OutputExistsError, match="add --force"):
        write(target, "two")
    write(target, "two", force=True)
    assert (target / "pack.json").read_text() == "two"
    assert contents(tmp_path) == ["pack"]


def test_never_touches_what_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    for force in (False, True):
        with pytest.raises(OutputExistsError, match="was not made by webbuild"):
            write(tmp_path / "mine", force=force)
        with pytest.raises(OutputExistsError, match="is a file"):
            write(tmp_path / "file", force=force)
    assert contents(tmp_path) == ["file", "mine"]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert contents(tmp_path / "empty") == ["pack.json"]


def test_leftovers_of_killed_runs_go_but_those_of_living_ones_stay(tmp_path: Path) -> None:
    (tmp_path / ".pack.partial-00ff").mkdir()
    (tmp_path / ".pack.partial-00ff" / "params_shard_0.bin").write_bytes(b"x")
    (tmp_path / ".other.partial-00ff").mkdir()
    target = tmp_path / "pack"
    with atomic_directory(target, force=False) as first:
        assert contents(tmp_path) == sorted([".other.partial-00ff", first.name])
        with atomic_directory(target, force=False) as second:
            (second / "pack.json").write_text("second")
        assert first.exists()
        (first / "pack.json").write_text("first")
        target.rename(tmp_path / "away")
    assert (target / "pack.json").read_text() == "first"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_is_replaced_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    target = tmp_path / "pack"
    write(target, "old")
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if to == target and not self.name.endswith("-replaced"):
            raise error(errno.EIO, "broken")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(error):
        write(target, "new", force=True)
    assert contents(tmp_path) == ["pack"]
    assert (target / "pack.json").read_text() == "old"


def test_what_a_killed_run_was_replacing_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "pack"
    write(target, "old")
    target.rename(tmp_path / ".pack.partial-00ff-replaced")
    (tmp_path / ".pack.partial-00ff").mkdir()
    with pytest.raises(OutputExistsError, match="add --force"):
        write(target, "new")
    assert contents(tmp_path) == ["pack"]
    assert (target / "pack.json").read_text() == "old"
    # Where the new one is in its place, the old one was on its way out.
    (tmp_path / ".pack.partial-11ee-replaced").mkdir()
    write(target, "new", force=True)
    assert contents(tmp_path) == ["pack"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "pack").symlink_to(tmp_path / "disk")
    for content in ("one", "two"):
        write(tmp_path / "pack", content, force=True)
    assert (tmp_path / "pack").is_symlink()
    assert (tmp_path / "disk" / "pack.json").read_text() == "two"
    assert contents(tmp_path) == ["disk", "pack"]


def test_the_folder_one_is_in_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputExistsError, match="you are in"):
        write(Path())


@pytest.mark.parametrize(
    ("number", "named"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EFBIG, DiskFullError),
        (errno.EACCES, OutputNotWritableError),
        (errno.EROFS, OutputNotWritableError),
        (errno.EIO, OSError),
    ],
)
def test_errors_are_named(tmp_path: Path, number: int, named: type[Exception]) -> None:
    with pytest.raises(named), atomic_directory(tmp_path / "pack", force=False):
        raise OSError(number, os.strerror(number))
    assert contents(tmp_path) == []


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputNotWritableError):
        write(tmp_path / "file" / "pack")


def test_names_with_special_characters(tmp_path: Path) -> None:
    target = tmp_path / "a[b]*?"
    write(target)
    (tmp_path / ".a[b]*?.partial-0").mkdir()
    write(target, force=True)
    assert contents(tmp_path) == ["a[b]*?"]


def test_space_is_checked_beforehand(tmp_path: Path) -> None:
    check_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(DiskFullError, match="GB free"):
        check_space(tmp_path / "not" / "yet", 1 << 60)
