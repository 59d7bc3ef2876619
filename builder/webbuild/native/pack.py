"""A checked pack and the bytes of its tensors."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from webbuild.schema.folder import PackFolder
from webbuild.schema.program import Segment

Bytes = npt.NDArray[np.uint8]


class Pack(PackFolder):
    """A pack whose weights can be had as resident bytes."""

    def segment(self, segment: Segment) -> Bytes:
        """The resident bytes of a segment, transformed as it says; mapped, not read, if it can."""
        shard, offset = self._places[segment.tensor]
        start = offset + segment.offset
        mapped = np.memmap(self.folder / shard, np.uint8, mode="r")
        stored: Bytes = mapped[start : start + segment.nbytes]
        if segment.transform == "f16_to_f32":
            return stored.view("<f2").astype("<f4").view(np.uint8)
        return stored

    @cached_property
    def _places(self) -> dict[str, tuple[str, int]]:
        return {
            tensor.name: (shard.dataPath, tensor.byteOffset)
            for shard in self.tensors.records
            for tensor in shard.records
        }
