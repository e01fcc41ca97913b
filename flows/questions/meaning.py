"""Answer how alike an encoder finds the strongest patches of a unit."""

from __future__ import annotations

from typing_extensions import TypedDict

from storage.artefacts import meanings
from storage.run import Run


class MeaningScores(TypedDict):
    """How surely an encoder tells the unit's patches from others: 0.5 is chance, and null where there are too few.

    `mis` sets both signs against each other, `mis_positive` and `mis_negative` each sign against other units' patches. The
    scores of different encoders are not compared.
    """

    encoder: str
    weights: str
    mis: float | None
    mis_positive: float | None
    mis_negative: float | None


def of_unit(run: Run, layer: str, number: int) -> MeaningScores | None:
    """Return the scores of a unit by the run's encoder; None where it has none."""
    if not run.has("meaning", layer):
        return None
    scores = meanings.of_unit(run.result("meaning", layer), number)
    return {
        "encoder": scores.encoder,
        "weights": scores.weights,
        "mis": scores.mis,
        "mis_positive": scores.mis_positive,
        "mis_negative": scores.mis_negative,
    }
