"""Two models on the same images: units paired, motion on the map, drift."""
