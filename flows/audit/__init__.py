"""Audit a class: which units and cells the model uses for it, and which of them fire on something else its images share."""
