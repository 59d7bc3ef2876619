"""Models to pack: local folders, Hub repositories, aliases."""

from webbuild.sources.aliases import Alias, aliases
from webbuild.sources.safetensors import Tensor
from webbuild.sources.source import ModelSource, open_source

__all__ = ["Alias", "ModelSource", "Tensor", "aliases", "open_source"]
