"""List the layers of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows import allocator, progress
from flows.config import RunConfig
from flows.model import examine, prepared
from storage.errors import AmbiguousAxes, UnknownLayer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from atlas.arrays import Layer
    from atlas.model.activations import AmbiguousAxesError


def layers(
    model: str,
    *,
    weights: str | None = None,
    input_size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    axes: dict[str, str] | None = None,
    reach: bool = True,
) -> list[dict[str, Any]]:
    """Return a row per layer that `--layer` takes: units, grid, axes, and receptive field in pixels of the input.

    Layers whose axes cannot be told are reported, with the option that says which they are.
    """
    from atlas.arrays import Layer
    from atlas.model import receptive_field, tokens

    config = RunConfig(images="", model=model, weights=weights, input_size=input_size, mean=mean, std=std)
    progress.current().say(f"model {model}: loading")
    loaded = prepared.load(config)
    sample = prepared.example(loaded)
    with examine.border(loaded.spec, loaded.module):
        every = _infer(config.listing, loaded.module, sample, axes or {})
    known = {name: layer for name, layer in every.items() if isinstance(layer, Layer)}
    _report_ambiguous({name: str(error) for name, error in every.items() if not isinstance(error, Layer)})
    rows = [
        {"layer": layer.name, "units": layer.units, "grid": f"{layer.height} × {layer.width}", "axes": layer.axes}
        for layer in known.values()
    ]
    if any(layer.axes == "btc" for layer in known.values()):
        for row, layer in zip(rows, known.values(), strict=True):
            row["tokens"] = " ".join(f"@{kind}" for kind in tokens.layers_of(loaded.module, layer))
    if reach:
        allocator.keep_freed_memory()
        with progress.current().bar("reach", 1, "passes"), examine.border(loaded.spec):
            measured = receptive_field.reach(loaded.module, known, tuple(sample.shape))
        for row in rows:
            part = measured[str(row["layer"])]
            row["reach"] = f"{int((part.bottom - part.top).max())} × {int((part.right - part.left).max())} px"
    return rows


def _infer(
    listing: str, module: nn.Module, sample: Tensor, axes: dict[str, str]
) -> dict[str, Layer | AmbiguousAxesError]:
    """Return every layer or its error. Raises UnknownLayer and AmbiguousAxes for `axes` that name none, or do not fit."""
    from atlas.model import activations

    try:
        every = activations.infer_all(module, sample, axes)
    except activations.UnknownLayerError as error:
        raise UnknownLayer(f"--axes: {error}; `{listing}` lists all") from None
    for name in axes:
        if isinstance(problem := every[name], activations.AmbiguousAxesError):
            raise AmbiguousAxes(str(problem))
    return every


def _report_ambiguous(errors: dict[str, str]) -> None:
    """Say which layers are not listed: those that --axes would add, and those that have no positions to read."""
    ambiguous = [name for name, error in errors.items() if "--axes" in error]
    if ambiguous:
        progress.current().say(
            f"not listed, because their axes are ambiguous: {', '.join(ambiguous)}; give them with --axes LAYER=AXES, as in "
            f"--axes {errors[ambiguous[0]].rpartition('--axes ')[2]}"
        )
    rest = [name for name in errors if name not in ambiguous]
    if rest:
        progress.current().say(f"not listed, because they return no tensor with a row per image: {', '.join(rest)}")
