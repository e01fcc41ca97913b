"""From activations to points in the unit square: neighbours, reduction, alignment, placement of further points."""
