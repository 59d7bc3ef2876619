"""A directory that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webbuild.errors import DiskFullError, OutputExistsError, OutputNotWritableError

if sys.platform != "win32":
    import fcntl

#: The file that makes a directory a pack.
MANIFEST = "pack.json"

#: Ends the name of what is at the target while another takes its place.
_REPLACED = "-replaced"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG),
}


def check_replaceable(target: Path, force: bool, marker: str = MANIFEST) -> None:
    """Raises OutputExistsError unless `target` is free, empty, or (with `force`) ours to replace.

    marker: the file whose presence shows that webbuild made the directory. Anything else is never
    touched, whatever `force` says.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputExistsError(f"{target} is a file: choose another -o")
    if target.samefile(Path.cwd()):
        raise OutputExistsError(
            f"{target} is the folder you are in, and would be replaced: choose another -o"
        )
    if not any(target.iterdir()):
        return
    if not (target / marker).is_file():
        raise OutputExistsError(
            f"{target} exists and was not made by webbuild (no {marker}): choose another -o"
        )
    if not force:
        raise OutputExistsError(f"{target} exists: add --force to replace it, or choose another -o")


def check_space(target: Path, nbytes: int) -> None:
    """Raises DiskFullError if the disk that will hold `target` has less than `nbytes` free."""
    existing = next(path for path in target.absolute().parents if path.exists())
    free = shutil.disk_usage(existing).free
    if free < nbytes:
        raise DiskFullError(
            f"{target} needs {nbytes / 1e9:.2f} GB, but {existing} has {free / 1e9:.2f} GB free: "
            "free some, or choose another -o"
        )


@contextmanager
def atomic_directory(target: Path, force: bool, marker: str = MANIFEST) -> Iterator[Path]:
    """Gives an empty directory beside `target`; it takes `target`'s place when the block ends.

    If the block raises (Ctrl-C included) it is removed, and `target` is what it was. What a killed
    run left is removed here, or put back, if that was the last moment in which `target` was
    replaced. Files are on the disk (fsync) before the rename.
    Raises OutputExistsError, DiskFullError and OutputNotWritableError.
    """
    with named_write_errors(target):
        target = target.resolve()  # a link to another disk stays one
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in sorted(target.parent.glob(f".{_escape(target.name)}.partial-*")):
            _clear(leftover, target)
        check_replaceable(target, force, marker)
        partial = target.parent / f".{target.name}.partial-{secrets.token_hex(4)}"
        partial.mkdir()
        with _locked(partial):
            try:
                yield partial
                _sync(partial)
                _publish(partial, target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise


@contextmanager
def named_write_errors(target: Path) -> Iterator[None]:
    """Turns an OSError about space or permission into its named error."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"no space left while writing {target} (nothing was kept): "
                "free some, or choose another -o"
            ) from error
        if error.errno in _DENIED:
            raise OutputNotWritableError(
                f"cannot write {target}: {error.strerror}; choose another -o"
            ) from error
        raise


def _escape(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _publish(partial: Path, target: Path) -> None:
    replaced = partial.with_name(f"{partial.name}{_REPLACED}")
    try:
        if target.exists():
            target.rename(replaced)
        partial.rename(target)
    except BaseException:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        raise
    _sync_directory(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _sync(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file, contextlib.suppress(OSError):
            # Some file systems refuse to sync a file that was opened for reading.
            os.fsync(file.fileno())
    _sync_directory(folder)


def _sync_directory(folder: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# A run holds a lock on its partial directory, which the system releases when the process dies.
# Windows has no locks on directories: there every leftover counts as abandoned.


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # network file systems may have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _clear(leftover: Path, target: Path) -> None:
    """Removes what a dead run left, or puts it back if it is what was at `target`."""
    if not _abandoned(leftover.with_name(leftover.name.removesuffix(_REPLACED))):
        return
    if leftover.name.endswith(_REPLACED) and not target.exists():
        leftover.rename(target)
    else:
        shutil.rmtree(leftover, ignore_errors=True)


def _abandoned(partial: Path) -> bool:
    """Whether no run is writing it."""
    if sys.platform == "win32":
        return True
    try:
        descriptor = os.open(partial, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return True
