"""Compare two models on the same images: shared samples, motion on the map, drift of units."""
