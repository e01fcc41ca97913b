"""Analyse one image: explain, saliency, locate."""
