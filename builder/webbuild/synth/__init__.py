"""Synthetic models: a true config, random weights, and a tokenizer of the right size."""

from webbuild.synth.synth import synthesize

__all__ = ["synthesize"]
