"""`webbuild verify`: a pack's logits on the native executor against transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from webbuild.errors import InvalidOptionError, LogitsDifferError, MissingExtraError
from webbuild.models import read_config
from webbuild.sources import open_source

if TYPE_CHECKING:
    from webbuild.native.device import Device
    from webbuild.native.pack import Pack
    from webbuild.pack import Reporter


#: Most that storing a checkpoint's weights so may add to the difference from its own logits, as
#: max|Δ| / max|reference|. At 1 zeros would be as near: these are the weights of another model.
SOURCE_BOUNDS = {"q0f32": 0.0, "q0f16": 2e-2, "q8f16_1": 0.2, "q4f16_1": 1.0}


def verify_pack(
    folder: Path, source: Path | None, say: Callable[[str], object], reporter: Reporter
) -> None:
    """Measures every tier that this machine's adapter can run, and says the result of each.

    source: a Hugging Face folder to compare with; None: the pack's own weights, dequantised.
    A tier that keeps keys and values in int8 is measured twice: against float ones, and (not with
    `source`, whose keys and values are others) given what it keeps.
    Raises LogitsDifferError if a tier is beyond its bound, with `source` that and SOURCE_BOUNDS;
    InvalidOptionError if `source` is another model; MissingExtraError; and what `open_source`,
    `Pack.open` and `NativeModel.open` raise.
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
    if source is not None:
        _check_source(pack, source)
    device = open_device()
    reporter.step("Loading the model into transformers, in float32")
    if pack.manifest.embedding is not None:
        _verify_encoder(pack, device, source, say, reporter)
        return
    reference = reference_model(source, None if source else folder)
    for name, tier in pack.program.tiers.items():
        if not device.features.issuperset(tier.requires):
            say(f"{name}: not run, {device.adapter} lacks {', '.join(tier.requires)}")
            continue
        reporter.step(f"Running tier {name}; a device that is new to its kernels compiles them")
        model = NativeModel.open(pack, name, min(1024, pack.manifest.limits.context_length))
        int8 = tier.kv_dtype == "int8"
        if int8:
            cost = measure(model, reference)
            say(f"{name}: {cost:.1e} from logits of float keys and values on {device.adapter}")
            if source is not None:
                _judge(pack, name, cost, BOUNDS[name] + INT8_BOUNDS["float"], source)
                continue
        difference = measure(model, reference, given_kept=int8)
        given = ", given its keys and values in int8," * int8
        say(f"{name}: max relative error of the logits {difference:.1e}{given} on {device.adapter}")
        _judge(pack, name, difference, INT8_BOUNDS["exact"] if int8 else BOUNDS[name], source)


def _verify_encoder(
    pack: Pack,
    device: Device,
    source: Path | None,
    say: Callable[[str], object],
    reporter: Reporter,
) -> None:
    """The same of vectors, before they are scaled."""
    from webbuild.native import NativeEncoder
    from webbuild.reference import ENCODER_BOUNDS, EncoderReference, measure_encoder

    reference = EncoderReference(source, None if source else pack.folder)
    for name, tier in pack.program.tiers.items():
        if not device.features.issuperset(tier.requires):
            say(f"{name}: not run, {device.adapter} lacks {', '.join(tier.requires)}")
            continue
        reporter.step(f"Running tier {name}; a device that is new to its kernels compiles them")
        difference = measure_encoder(NativeEncoder.open(pack, name, device=device), reference)
        say(f"{name}: max relative error of the vectors {difference:.1e} on {device.adapter}")
        _judge(pack, name, difference, ENCODER_BOUNDS[name], source)


def _check_source(pack: Pack, source: Path) -> None:
    """Raises InvalidOptionError unless the folder's model has the pack's shape, and what reading it
    raises, before anything runs."""
    checkpoint = open_source(str(source))
    own, given = (
        asdict(read_config(config)) for config in (pack.manifest.model.config, checkpoint.config)
    )
    for name in own:
        if own[name] != given.get(name):
            raise InvalidOptionError(
                f"--source {source} is another model: its {name} is {given.get(name)}, the pack's "
                f"{own[name]}; name the folder that was packed"
            )
    _ = checkpoint.tensors  # raises if weights are missing or damaged


def _judge(pack: Pack, tier: str, difference: float, bound: float, source: Path | None) -> None:
    """Raises LogitsDifferError beyond the bound of what the program computes and, of `source`, of
    what quantisation costs."""
    if source is None:
        if not difference <= bound:
            raise LogitsDifferError(
                f"tier {tier} is off by {difference:.1e}, the bound is {bound:.0e}: a bug "
                "in webbuild or in the GPU driver; please report it with the output of inspect"
            )
        return
    stored = pack.manifest.quantization
    bound += SOURCE_BOUNDS[stored]
    if not difference <= bound:
        raise LogitsDifferError(
            f"tier {tier} is off by {difference:.1e} from {source}, the bound for {stored} is "
            f"{bound:.2g}: was the pack made of these weights? `webbuild verify` without --source "
            "tells whether it computes its own rightly; if so, --quant q8f16_1 is nearer"
        )
