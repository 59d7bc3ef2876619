"""Tunings beyond those of a row: the name of one says all that it takes to make it again.

`cpu:workgroups=16` is the row's tuning `cpu` with the keyword `workgroups` of the row's constants
set to 16. So a record that names a tuning can be replayed: the same kernel, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

from .attrs import BadAttributeError, OpAttrs, parse
from .launch import KernelLaunch, Tier
from .registry import OPS, allowed, distinct, lower_row, lower_tuned, rows_of
from .row import Kernel, Tuning

_NAME = re.compile(r"([\w.-]+)(?::(\w+=\d+(?:,\w+=\d+)*))?")


def vary(row: Kernel, base: str, **constants: int) -> Tuning:
    """The row's tuning `base` with other constants; itself if it has these already.

    Raises KeyError if the row has no tuning `base`.
    """
    own = next((tuning for tuning in row.tunings if tuning.name == base), None)
    if own is None:
        raise KeyError(f"{row.name} has no tuning {base}")
    changed = {name: value for name, value in constants.items() if own.constants.get(name) != value}
    if not changed:
        return own
    text = ",".join(f"{name}={value}" for name, value in sorted(changed.items()))
    constants = {**own.constants, **changed}
    return replace(own, name=f"{base}:{text}", constants=constants, suits="measured")


def named(row: Kernel, name: str) -> Tuning | None:
    """The tuning of that name: the row's own, or a variation; None if it means nothing here."""
    found = _NAME.fullmatch(name)
    if found is None or all(tuning.name != found[1] for tuning in row.tunings):
        return None
    pairs = (pair.split("=") for pair in found[2].split(",")) if found[2] else ()
    return vary(row, found[1], **{key: int(value) for key, value in pairs})


def lower_as(row: Kernel, tuning: Tuning, attrs: OpAttrs, tier: Tier) -> list[KernelLaunch] | None:
    """The launches of a row under a tuning; None if the op may not run so, or the row's constants
    do not take what the tuning sets."""
    if not allowed(tuning, attrs, tier):
        return None
    if not takes(row.constants, tuning.constants):
        return None
    try:
        return lower_tuned(row, tuning, attrs, tier)
    except BadAttributeError:
        return None


def takes(function: Callable[..., object], keywords: Iterable[str]) -> bool:
    """Whether a function has these keywords; one that passes on what it gets must say so itself."""
    parameters = signature(function).parameters
    return set(keywords) <= parameters.keys() or any(
        one.kind is one.VAR_KEYWORD for one in parameters.values()
    )


def lower_with(
    op: str,
    attrs: Mapping[str, Any],
    tier: Tier,
    advised: Callable[[str], Iterable[str]],
) -> list[KernelLaunch]:
    """`registry.lower` with more alternatives: the tunings that `advised` names for a tuning key.
    Names that mean nothing are passed over: a kernel may have changed since it was measured."""
    parsed = parse(OPS[op], attrs)
    result = []
    for row in rows_of(parsed):
        launches = lower_row(row, parsed, tier)
        own = {tuning.name for tuning in row.tunings}
        names = dict.fromkeys(name for one in launches for name in advised(one.tuning_key))
        tunings = [named(row, name) for name in names if name not in own]
        lowered = [lower_as(row, tuning, parsed, tier) for tuning in tunings if tuning]
        found = [others for others in lowered if others]
        result += [
            replace(one, alternatives=distinct(one, (*one.alternatives, *others)))
            for one, *others in zip(launches, *found, strict=True)
        ]
    return result
