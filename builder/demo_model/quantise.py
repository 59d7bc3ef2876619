"""The int4 rounding that the model ships with (q4f16_1), to train and measure under."""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 32


def dequantised(weight: Tensor) -> Tensor:
    """A weight as int4 returns it: q in 0..14 and one f16 scale for 32 inputs."""
    groups = weight.float().reshape(-1, GROUP)
    scale = (groups.abs().amax(dim=1, keepdim=True) / 7).half().float()
    # A group of zeros has no scale; any divisor then gives q = 7, which is zero.
    divisor = torch.where(scale == 0, torch.ones_like(scale), scale)
    q = (torch.round(groups / divisor) + 7).clamp(0, 14)
    return ((q - 7) * scale).reshape(weight.shape)


def through(weight: Tensor) -> Tensor:
    """The rounded weight forwards, the plain one backwards (straight-through)."""
    return weight + (dequantised(weight) - weight).detach()
