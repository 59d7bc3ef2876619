"""A pack on disk: its records, read and checked together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from webbuild.errors import NotAPackError, PackDamagedError

from .check import check
from .kernels import KernelFile
from .pack import PackManifest
from .program import Program
from .read import read_kernels, read_manifest, read_program, read_tensor_cache
from .tensor_cache import TensorCache


@dataclass(frozen=True)
class PackFolder:
    """The records of a pack that `check` has passed, and where its files are."""

    folder: Path
    manifest: PackManifest
    program: Program
    kernels: KernelFile
    tensors: TensorCache

    @classmethod
    def open(cls, folder: Path | str, verify_hashes: bool = False) -> Self:
        """Reads and checks a pack; every file's size too, and with `verify_hashes` its SHA-256.

        Raises NotAPackError, FormatVersionError, InvalidProgramError or PackDamagedError.
        """
        folder = Path(folder)
        path = folder / "pack.json"
        if not path.is_file():
            raise NotAPackError(f"{folder} holds no pack.json: give a folder made by webbuild pack")
        manifest = read_manifest(path.read_bytes())
        for file in manifest.files:
            _check_file(folder / file.path, file.nbytes, file.sha256 if verify_hashes else None)
        by_role = {file.role: folder / file.path for file in manifest.files}
        for role in ("program", "kernels", "tensor_cache"):
            if role not in by_role:
                raise NotAPackError(f"{path} lists no file of role {role!r}: pack the model again")
        pack = cls(
            folder,
            manifest,
            read_program(by_role["program"].read_bytes()),
            read_kernels(by_role["kernels"].read_bytes()),
            read_tensor_cache(by_role["tensor_cache"].read_bytes()),
        )
        check(manifest, pack.program, pack.kernels, pack.tensors)
        return pack


def _check_file(path: Path, nbytes: int, sha256: str | None) -> None:
    if not path.is_file():
        raise PackDamagedError(f"{path} is missing: copy the whole pack, or pack the model again")
    if (size := path.stat().st_size) != nbytes:
        raise PackDamagedError(
            f"{path} has {size} bytes where pack.json says it should have {nbytes}: "
            "copy the pack again"
        )
    if sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise PackDamagedError(f"{path} is not what was packed (SHA-256): copy the pack again")
