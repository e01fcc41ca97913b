"""Encoders of images and texts: vectors in which things that mean the same are alike."""
