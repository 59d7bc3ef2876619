"""`webbuild verify`: a pack's logits on the native executor against transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from webbuild.errors import LogitsDifferError, MissingExtraError


def verify_pack(folder: Path, source: Path | None, say: Callable[[str], object]) -> None:
    """Measures every tier that this machine's adapter can run, and says the result of each.

    source: a Hugging Face folder to compare with; None: the pack's own weights, dequantised.
    Raises LogitsDifferError if a tier is beyond its bound (not with `source`: what quantisation
    costs is no error), MissingExtraError, and what `Pack.open` and `NativeModel.open` raise.
    """
    try:
        from webbuild.native import NativeModel
        from webbuild.native.device import open_device
        from webbuild.native.pack import Pack
        from webbuild.reference import BOUNDS, measure, reference_model
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed: pip install 'webbuild[dev]'"
        ) from None
    pack = Pack.open(folder, verify_hashes=True)
    device = open_device()
    reference = reference_model(source, None if source else folder)
    for name, tier in pack.program.tiers.items():
        if not device.features.issuperset(tier.requires):
            say(f"{name}: not run, {device.adapter} lacks {', '.join(tier.requires)}")
            continue
        model = NativeModel.open(pack, name, min(1024, pack.manifest.limits.context_length))
        difference = measure(model, reference)
        say(f"{name}: max relative error of the logits {difference:.1e} on {device.adapter}")
        if source is None and difference > BOUNDS[name]:
            raise LogitsDifferError(
                f"tier {name} is off by {difference:.1e}, the bound is {BOUNDS[name]:.0e}: a bug "
                "in webbuild or in the GPU driver; please report it with the output of inspect"
            )
