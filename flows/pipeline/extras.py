"""Settle which extras a run makes: those that `--with` names, or with `everything` those that are possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flows import progress, registry
from flows.config import RunConfig
from storage.errors import UsageError
from storage.models import Model
from storage.models.scores import NoScores


def of_run(config: RunConfig, model: Model) -> RunConfig:
    """Return a run's configuration with the names of its extras. Raises UsageError as `settled` does."""
    return settled(config, registry.everything(), lambda: model.logits)


def settled(config: RunConfig, possible: Sequence[str], scores: Callable[[], object]) -> RunConfig:
    """Return a configuration with the possible extras in place of `everything`; `scores` gives the model's where they matter.

    Raises UsageError where an extra that is asked for by name needs class scores, and the model has none.
    """
    every = registry.EVERYTHING in config.extras
    names = tuple(possible) if every else config.extras
    scored = [name for name in names if registry.stage(name).scores]
    without = scores() if scored else None
    if isinstance(without, NoScores):
        if not every:
            raise UsageError(f"--with {scored[0]}: {without.reason}")
        progress.current().say(f"--with {registry.EVERYTHING}: without {' and '.join(scored)}: {without.reason}")
        names = tuple(name for name in names if name not in scored)
    return config if names == config.extras else config.model_copy(update={"extras": names})
