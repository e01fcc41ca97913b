"""Explain one image by a layer's building blocks: what it detects, where, and its effect (Olah et al., Distill 2018)."""
