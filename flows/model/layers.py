"""List the layers of a model."""

from __future__ import annotations

from typing import Any

from flows import allocator, progress
from flows.config import RunConfig
from flows.model import examine, prepared


def layers(model: str, *, weights: str | None, input_size: int | None, reach: bool) -> list[dict[str, Any]]:
    """Return a row per layer that `--layer` takes: units, grid, axes, and receptive field in pixels of the input."""
    from atlas.model import activations, receptive_field

    config = RunConfig(images="", model=model, weights=weights, input_size=input_size)
    progress.current().say(f"model {model}: loading")
    loaded = prepared.load(config)
    sample = prepared.example(loaded)
    with examine.border(loaded.spec, loaded.module):
        known = {layer.name: layer for layer in activations.list_layers(loaded.module, sample)}
    rows = [
        {"layer": layer.name, "units": layer.units, "grid": f"{layer.height} × {layer.width}", "axes": layer.axes}
        for layer in known.values()
    ]
    if reach:
        allocator.keep_freed_memory()
        with progress.current().bar("reach", 1, "passes"), examine.border(loaded.spec):
            measured = receptive_field.reach(loaded.module, known, tuple(sample.shape))
        for row in rows:
            part = measured[str(row["layer"])]
            row["reach"] = f"{int((part.bottom - part.top).max())} × {int((part.right - part.left).max())} px"
    return rows
