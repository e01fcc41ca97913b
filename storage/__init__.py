"""Everything that touches a disk or a network: images in, models in, stage results out."""
