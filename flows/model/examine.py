"""Try a model before it is used: it runs, it is a function of the image, and its class scores are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from atlas.model import purity, trial
from atlas.model.activations import AmbiguousAxesError, UnknownLayerError
from storage.errors import ActlasError, ModelError, UsageError
from storage.models import Model, scores, user_code
from storage.models.scores import NoScores, Scores, find_logits
from storage.models.weights import STATISTICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A model with its class scores chosen, how its values for an image vary (empty if they do not), and remarks."""

    model: Model
    varying: str
    notes: tuple[str, ...]


def examine(
    model: Model,
    sample: Tensor,
    *,
    layers: Sequence[str] = (),
    classes: str | None = None,
    logits: str | None = None,
    allow_varying: bool = False,
) -> Examined:
    """Run a model on `sample` `c h w`, alone and in batches, and choose its class scores.

    Raises ModelError where the model fails on an image, or varies and may not; UsageError where `logits` (the tensor
    to take) or `classes` (a file) do not fit.
    """
    with border(model.spec):
        tried = purity.check(model.module, sample, layers)
    varying = "" if tried.variation is None else str(tried.variation)
    if varying and not allow_varying:
        raise ModelError(
            f"model {model.spec}: its output is not a function of the image: {varying}; fix it, or use --allow-varying, "
            "which the run records"
        )
    chosen, note = choose_scores(model, tried.alone, tried.beside, classes, logits)
    return Examined(model=chosen, varying=varying, notes=tuple(filter(None, (varying, _broken_weights(model), note))))


def _broken_weights(model: Model) -> str:
    """Return a remark on weights that are NaN or infinite: what they reach is not finite, and the rest can be looked at."""
    broken = [(name, ~weight.isfinite()) for name, weight in model.module.named_parameters()]
    for name, buffer in model.module.named_buffers():  # masks may be infinite
        broken.append((name, ~buffer.isfinite() if name.endswith(STATISTICS) else buffer.isnan()))
    remarks = [f"{name} has {int(where.sum())} of {where.numel()}" for name, where in broken if bool(where.any())]
    more = f", and {len(remarks) - 1} more tensors have such" if len(remarks) > 1 else ""
    return f"its weights are broken: {remarks[0]} values that are NaN or infinite{more}" if remarks else ""


def choose_scores(
    model: Model, alone: Any, beside: Any, classes: str | None, requested: str | None
) -> tuple[Model, str]:
    """Return the model with its class scores chosen from its outputs for one image and for two, and a remark."""
    if isinstance(model.logits, NoScores) and requested is None:
        return _without_scores(model, classes), ""
    if model.logits is not find_logits and requested is None:
        _check_names(model, _own_scores(model, alone, beside).shape[1], classes)
        return model, ""
    try:
        choice = scores.choose(alone, beside, classes=len(model.classes), head=_head(model.module), requested=requested)
    except UsageError as error:
        raise UsageError(f"model {model.spec}: {error}") from None
    if isinstance(choice, Scores):
        _check_names(model, choice(beside).shape[1], classes)
    return dataclasses.replace(model, logits=choice), choice.note


def _without_scores(model: Model, classes: str | None) -> Model:
    """Return a model that has no class scores. Raises UsageError where a file of class names is given for it."""
    if classes is not None:
        raise UsageError(f"--classes {classes}: model {model.spec} has no class scores to name; leave it out")
    return model


def _own_scores(model: Model, alone: Any, beside: Any) -> Tensor:
    """Return a Model's own scores of two images. Raises ModelError where its `logits` fails, or gives no row per image."""
    for count, output in enumerate((alone, beside), 1):
        try:
            given = model.logits(output)
        except ActlasError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(f"model {model.spec}: its `logits` fails on its output: {trial.cause(error)}") from error
        if not isinstance(given, Tensor) or given.ndim != 2 or len(given) != count:
            raise ModelError(
                f"model {model.spec}: its `logits` gives {scores.describe(given)} for {count} image{'s'[: count - 1]}, not a "
                "row of numbers per image"
            )
    return given


def _check_names(model: Model, count: int, path: str | None) -> None:
    """Raise where there are class names, from the file `path` or from the model, but not one for each of `count` scores."""
    names = len(model.classes)
    if path is not None and names != count:
        raise UsageError(f"--classes {path} has {names} names, and {model.spec} {count} classes")
    if names and names != count:
        raise ModelError(
            f"model {model.spec}: its `classes` are {names} names, and it gives {count} scores per image; give one name for "
            "each score, or the right ones by --classes FILE"
        )


def _head(module: nn.Module) -> int:
    """Return the number of outputs of the last linear layer, 0 if there is none."""
    counts = [child.out_features for child in module.modules() if isinstance(child, nn.Linear)]
    return counts[-1] if counts else 0


@contextmanager
def border(spec: str, module: nn.Module | None = None) -> Iterator[None]:
    """Turn an exception of a user's code into a ModelError of one line; with `module`, name the part of it that ran."""
    located = nullcontext() if module is None else trial.locating(module)
    try:
        with located:
            yield
    except (ActlasError, UnknownLayerError, AmbiguousAxesError):
        raise
    except trial.ForwardError as error:
        place = user_code.place(error.__cause__) if error.__cause__ is not None else None
        raise ModelError(f"model {spec}: {error}{f' ({place})' if place is not None else ''}") from error
    except (Exception, SystemExit) as error:
        raise ModelError(f"model {spec}: it cannot be analysed: {trial.cause(error)}") from error


def of_model(spec: str, error: BaseException) -> ModelError | None:
    """Return the error of one line for an exception of a model or a user's code; None for one of ours."""
    if isinstance(error, ActlasError | KeyboardInterrupt):
        return None
    where, place = trial.failure(error), user_code.place(error)
    if place is None and not isinstance(error, Exception | SystemExit):
        return None
    if where is None and place is None:
        return None
    at = f" ({place})" if place is not None else ""
    return ModelError(f"model {spec}: {where or f'its code fails: {trial.cause(error)}'}{at}")
