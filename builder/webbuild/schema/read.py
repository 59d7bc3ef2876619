"""Bytes of a pack's files → checked records, or an error that names the file and the place."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError

from webbuild.errors import FormatVersionError, InvalidProgramError, NotAPackError, WebbuildError

from .base import Format
from .kernels import KERNELS_VERSION, KernelFile
from .pack import PACK_VERSION, PackManifest
from .program import PROGRAM_VERSION, Program
from .tensor_cache import TensorCache

T = TypeVar("T", bound=Format)


def read_manifest(data: bytes) -> PackManifest:
    """pack.json. Raises NotAPackError or FormatVersionError."""
    return _read(PackManifest, "pack.json", data, PACK_VERSION, NotAPackError)


def read_program(data: bytes) -> Program:
    """program.json. Raises InvalidProgramError or FormatVersionError."""
    return _read(Program, "program.json", data, PROGRAM_VERSION, InvalidProgramError)


def read_kernels(data: bytes) -> KernelFile:
    """kernels.json. Raises InvalidProgramError or FormatVersionError."""
    return _read(KernelFile, "kernels.json", data, KERNELS_VERSION, InvalidProgramError)


def read_tensor_cache(data: bytes) -> TensorCache:
    """tensor-cache.json. Raises InvalidProgramError."""
    return _read(TensorCache, "tensor-cache.json", data, None, InvalidProgramError)


def _read(
    model: type[T], file: str, data: bytes, version: int | None, broken: type[WebbuildError]
) -> T:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise broken(f"{file} is no JSON ({error}): pack the model again") from None
    if not isinstance(value, dict):
        raise broken(f"{file} holds no JSON object: pack the model again")
    if version is not None and (found := value.get("format_version")) != version:
        raise FormatVersionError(
            f"{file} has format version {found!r} and this webbuild reads version {version}: "
            "pack the model again with this version, or install the version that made it"
        )
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise broken(f"{file}: {place}: {first['msg']}: pack the model again") from None
