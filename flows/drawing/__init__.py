"""Pictures by optimisation: units, classes, layers and dreams."""
