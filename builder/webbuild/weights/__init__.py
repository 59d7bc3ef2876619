"""Weights: what a model needs, how it is written to shards, and how a pack's are read."""
