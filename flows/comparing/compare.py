"""Compare versions of runs, or runs as datasets."""

from __future__ import annotations

from collections.abc import Sequence

from flows.comparing import answers as comparison_answer
from flows.comparing.answers import Comparison
from flows.comparing.datasets import answers as dataset_answer
from flows.comparing.datasets import measure as dataset_measure
from flows.comparing.datasets import pair
from flows.comparing.datasets.answer_types import DatasetComparison
from flows.comparing.measure import measure


def compare(store: str, names: Sequence[str], *, layers: Sequence[str] = (), noisy: bool = True) -> Comparison:
    """Compare runs (NAME or NAME@VERSION) that share images and layers, each with the one before it.

    `layers` selects among the layers that all runs have. `noisy` measures the noise of each layout that changed, by
    computing it once more. Raises UsageError where the runs have nothing in common.
    """
    return comparison_answer.describe(measure(store, names, layers=layers, noisy=noisy), chosen=layers)


def compare_datasets(store: str, a: str, b: str, *, layers: Sequence[str] = ()) -> DatasetComparison:
    """Compare the images of two runs (NAME or NAME@VERSION) of one model on the map of the first.

    `b` needs no map of its own, and the two need no image in common. Raises UsageError for different models.
    """
    compared = pair.datasets(store, (a, b), layers)
    return dataset_answer.describe(compared, list(dataset_measure.measure(compared)))
