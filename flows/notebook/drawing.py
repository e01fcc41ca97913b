"""Draw pictures and explain images from Python, as the commands of the same names do.

The model is that of a `run` (NAME or NAME@VERSION) in `store`, or `model`: a spec, or a loaded `storage.models.Model`. Without
either it is the default model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.notebook.atlas import STORE, Picture
from storage import addresses
from storage.errors import UsageError

if TYPE_CHECKING:
    from flows.ablation.answers import Ablation
    from flows.model.context import ModelContext
    from storage.models import Model

Image = str | int | os.PathLike[str]
"""An image file, or the id of an image of the run."""


def show(
    targets: str | Sequence[str],
    *,
    run: str | None = None,
    model: str | Model | None = None,
    store: str = STORE,
    recipe: str | None = None,
    steps: int | None = None,
    size: int | tuple[int, int] | None = None,
    facets: int = 1,
    penalties: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Picture:
    """Draw what units, layers, classes or cells respond to: a picture `h w 3` of one target, a sheet of several.

    A target is LAYER:UNIT, LAYER:UNIT@y,x, LAYER, class:NAME, prob:NAME, LAYER@GRID:ROW,COL (a cell of the run), or a
    weighted sum of these. `size` is a side, or (height, width), in pixels; `recipe`, `steps` and `size` depend on the targets
    by default. `facets` is the number of different pictures of each target; `penalties` are weights above 0 of tv, l1,
    l2 or blur.

    `.answer` has the recipe, the value reached, and what the model or the run knows of each target. Raises UsageError,
    NotFound or UnknownLayer before drawing.
    """
    from flows.drawing import facts
    from flows.drawing import show as pictures
    from flows.sheets import shown

    sides = None if size is None else pictures.size_of(f"{size}" if isinstance(size, int) else f"{size[0]}x{size[1]}")
    settings = pictures.Settings(
        recipe=recipe, steps=steps, size=sides, seed=seed, facets=facets, penalties=penalties or {}
    )
    texts = [targets] if isinstance(targets, str) else list(targets)
    context = _context(run, model, store)
    drawn = pictures.show(context, texts, settings)
    answer = facts.describe(context, drawn, settings)
    return Picture(shown.picture(answer, drawn), f"pictures of {', '.join(texts)}", answer)


def dream(
    image: Image,
    target: str | None = None,
    *,
    run: str | None = None,
    model: str | Model | None = None,
    store: str = STORE,
    guide: Image | None = None,
    sheet: bool = False,
    **settings: Any,
) -> Picture:
    """Amplify in an image, or in `noise`, what a layer, unit or class sees (DeepDream): a picture `h w 3` in its size.

    `target` is written as for `show`; the default is a layer at 0.6 of the model's depth. `guide` is an image whose
    activations the dream follows. With `sheet`, the picture has the image beside the dream. `settings` are `size` (the longer
    side, or "HEIGHTxWIDTH" of noise), `iterations`, `octaves`, `scale`, `rate`, `levels` and `seed`.

    `.answer` has the value before and after, and the octaves. Raises UsageError, NotFound or UnknownLayer before drawing.
    """
    from flows.drawing import dream as dreams
    from flows.sheets import dream as dream_sheet

    if settings.get("size") is not None:
        settings["size"] = str(settings["size"])
    chosen = dreams.Settings(**settings, view="sheet" if sheet else "dream")
    given, guided = _text(image), None if guide is None else _text(guide)
    answer, before, after = dreams.dream(_context(run, model, store), given, target, guide=guided, settings=chosen)
    return Picture(dream_sheet.draw(answer, before, after), f"dream of {answer['target']}", answer)


def saliency(
    image: Image,
    target: str | None = None,
    *,
    run: str | None = None,
    model: str | Model | None = None,
    store: str = STORE,
    method: str = "gradient",
    view: str = "sheet",
    size: int | None = None,
    **settings: Any,
) -> Picture:
    """Show which pixels of an image the score of a class or unit depends on: a picture `h w 3`.

    `target` is class:NAME, prob:NAME, LAYER:UNIT or LAYER:UNIT@y,x; the default is the model's first choice. `method` is a
    name of `atlas.attribution.methods.METHODS`, `view` is sheet, heat or overlay, `size` the longer side of the picture in
    pixels. `settings` are those that the method takes: `layer`, `samples`, `steps`, `baseline` and `seed`.

    `.answer` has the score, the model's choices and the settings. Raises UsageError where the method or view does not
    apply, NotFound or UnknownLayer for a missing image or target.
    """
    from flows.one_image import saliency as explaining
    from flows.sheets import saliency as saliency_sheet

    saliency_sheet.check_view(view, size)
    given = _text(image)
    answer, pixels, heat = explaining.explain(_context(run, model, store), given, target, method=method, **settings)
    pixels = saliency_sheet.draw(answer, pixels, heat, view=view, size=size)
    return Picture(pixels, f"{method} of {answer['target']['text']}", answer)


def ablate(
    run: str,
    layer: str,
    units: Sequence[int],
    *,
    by: str = "zero",
    where: str | None = None,
    images: int = 500,
    store: str = STORE,
) -> Ablation:
    """Change units while the model runs over `images` images of a run, and compare the class scores.

    `by` is zero, mean (over the run's samples), resample (the units of another image) or scale=F; `where` a condition in
    SQL on the table `images`, of which `images` are drawn by the run's seed. Changes are means over images with their
    standard errors, of all images and of each label.

    Raises UsageError for another way or condition, NotFound for a missing layer or unit, ModelError where the model has
    changed up to the layer since the run.
    """
    from flows.ablation import ablate as ablation
    from storage.run import open_run

    return ablation.ablate(open_run(store, run), layer, units, by=by, where=where, images=images)


def audit(
    run: str,
    wanted: str,
    *,
    layer: str | None = None,
    grid: int | None = None,
    label: str | None = None,
    images: int = 200,
    k: int = 16,
    units: bool = True,
    ablate: bool = True,
    store: str = STORE,
) -> Picture:
    """Audit a class: the units and cells that the model uses for it, and those that fire on something else: a sheet `h w 3`.

    `wanted` is the class, by name, index or class:INDEX, `label` that of its images (by default the one that is the class); up
    to `images` of them (20 to 1000) are used, and as many without it. The default `layer` is the run's last, the default `grid`
    the finest with an attribution.
    `units=False` audits cells alone, without the model; `ablate` measures what the first suspects do; `k` is the number of
    candidates listed that are no suspects.

    `.answer` has the suspects with their tests, patches and effects. Raises NotFound for a missing class, label, layer or
    grid, UsageError for too few images, Incomplete where there is nothing to audit.
    """
    from flows.audit import audit as auditing
    from flows.model import images as model_images
    from flows.sheets import audit as audit_sheet
    from storage.run import open_run

    opened = open_run(store, run)
    answer = auditing.audit(
        opened, wanted, layer=layer, grid=grid, label=label, count=images, k=k, units=units, ablate=ablate
    )
    pixels = audit_sheet.draw(opened, answer, model_images.images(opened, audit_sheet.drawn_patches(answer)))
    return Picture(pixels, f"audit of {answer['name']}", answer)


def explain(
    image: Image,
    layer: str,
    *,
    to: str | None = None,
    target: str | None = None,
    versus: str | None = None,
    run: str | None = None,
    model: str | Model | None = None,
    store: str = STORE,
    icons: str = "auto",
    **settings: Any,
) -> Picture:
    """Explain an image at a layer by its positions, units and groups, and their effect on a class: a sheet `h w 3`.

    `target` is the class (name or index, by default the model's first choice), `versus` a class to compare it with, `to`
    a later layer to link to. `icons` are from the run's atlas (`atlas`), `drawn`, `none`, or `auto`. `settings` are the counts
    `cells`, `parts`, `groups`, `top` and `units`.

    `.answer` has plain numbers and numpy arrays, as docs/explain.md lists them. Raises UsageError, NotFound or
    UnknownLayer.
    """
    from flows.one_image import explain as explaining
    from flows.sheets import image as image_sheet

    question = explaining.Question(target=target, versus=versus, icons=icons, **settings)
    question.check()
    given = _text(image)
    answer = explaining.explain(_context(run, model, store), given, layer, to=to, question=question)
    return Picture(image_sheet.draw(answer), f"{layer} of {image}", answer)


def _context(run: str | None, model: str | Model | None, store: str) -> ModelContext:
    from flows.model import context

    if model is None or isinstance(model, str):
        addresses.check("model", model)
        return context.open_context(store, run=run, model=model)
    if run is not None:
        raise UsageError(f"run {run} has its own model; leave the model {model.spec or 'given'} out")
    return context.ModelContext(model=model)


def _text(image: Image) -> str:
    addresses.check("image", image)
    return str(image) if isinstance(image, int) else os.fspath(image)
