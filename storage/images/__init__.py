"""Read images: their sources, the listing that assigns each an id, and the decoding policy."""
