"""`webbuild verify`: a pack's logits on the native executor against transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from webbuild.errors import LogitsDifferError, MissingExtraError

if TYPE_CHECKING:
    from webbuild.native.device import Device
    from webbuild.native.pack import Pack


def verify_pack(folder: Path, source: Path | None, say: Callable[[str], object]) -> None:
    """Measures every tier that this machine's adapter can run, and says the result of each.

    source: a Hugging Face folder to compare with; None: the pack's own weights, dequantised.
    A tier that keeps keys and values in int8 is measured twice: against float ones, and (not with
    `source`, whose keys and values are others) given what it keeps.
    Raises LogitsDifferError if a tier is beyond its bound (not with `source`, nor against float
    keys and values: what quantisation costs is no error), MissingExtraError, and what `Pack.open`
    and `NativeModel.open` raise.
    """
    try:
        from webbuild.native import NativeModel
        from webbuild.native.device import open_device
        from webbuild.native.pack import Pack
        from webbuild.reference import BOUNDS, INT8_BOUNDS, measure, reference_model
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed: pip install 'webbuild[dev]'"
        ) from None
    pack = Pack.open(folder, verify_hashes=True)
    device = open_device()
    if pack.manifest.embedding is not None:
        _verify_encoder(pack, device, source, say)
        return
    reference = reference_model(source, None if source else folder)
    for name, tier in pack.program.tiers.items():
        if not device.features.issuperset(tier.requires):
            say(f"{name}: not run, {device.adapter} lacks {', '.join(tier.requires)}")
            continue
        model = NativeModel.open(pack, name, min(1024, pack.manifest.limits.context_length))
        int8 = tier.kv_dtype == "int8"
        if int8:
            cost = measure(model, reference)
            say(f"{name}: {cost:.1e} from logits of float keys and values on {device.adapter}")
            if source is not None:
                continue
        difference = measure(model, reference, given_kept=int8)
        given = ", given its keys and values in int8," * int8
        say(f"{name}: max relative error of the logits {difference:.1e}{given} on {device.adapter}")
        bound = INT8_BOUNDS["exact"] if int8 else BOUNDS[name]
        if source is None and difference > bound:
            raise LogitsDifferError(
                f"tier {name} is off by {difference:.1e}, the bound is {bound:.0e}: a bug "
                "in webbuild or in the GPU driver; please report it with the output of inspect"
            )


def _verify_encoder(
    pack: Pack, device: Device, source: Path | None, say: Callable[[str], object]
) -> None:
    """The same of vectors, before they are scaled."""
    from webbuild.native import NativeEncoder
    from webbuild.reference import ENCODER_BOUNDS, EncoderReference, measure_encoder

    reference = EncoderReference(source, None if source else pack.folder)
    for name, tier in pack.program.tiers.items():
        if not device.features.issuperset(tier.requires):
            say(f"{name}: not run, {device.adapter} lacks {', '.join(tier.requires)}")
            continue
        difference = measure_encoder(NativeEncoder.open(pack, name, device=device), reference)
        say(f"{name}: max relative error of the vectors {difference:.1e} on {device.adapter}")
        if source is None and difference > ENCODER_BOUNDS[name]:
            raise LogitsDifferError(
                f"tier {name} is off by {difference:.1e}, the bound is {ENCODER_BOUNDS[name]:.0e}: "
                "a bug in webbuild or in the GPU driver; please report it with the output of "
                "inspect"
            )
