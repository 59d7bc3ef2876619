"""Packs: writing one from a model, and reading one back."""

from webbuild.pack.pack import PackOptions, pack_model
from webbuild.pack.progress import Reporter

__all__ = ["PackOptions", "Reporter", "pack_model"]
