"""Answer how often the model's first classes are the images' labels, where the labels are classes of the model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypedDict

from atlas.arrays import Int
from storage.errors import UsageError
from storage.images import labels as label_values
from storage.run import Run

MOST_CONFUSED = 10
Z95 = 1.959964
"""Normal quantile of a two-sided interval of 95 %."""

ALIKE = 0.9
"""Share of names that must agree where labels are joined by WordNet ids: so many show that the classes are in their order."""


class Confusion(TypedDict):
    """Images of a label whose first class is another one."""

    label: str
    choice: str
    images: int


class Accuracy(TypedDict):
    """Of the labelled `images`, those whose `first` class is their label's, and those with it among the `first_five`.

    `by` says what labels and classes were joined by, and `unclear` are labels that are not counted, since several classes
    have their name; `low` and `high` are Wilson's interval of 95 % of the first. `reason` says instead why nothing could be
    joined.
    """

    by: str
    reason: str
    unclear: list[str]
    images: int
    first: int
    first_five: int
    low: float
    high: float
    confused: list[Confusion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The class of each label, and what they were joined by; or the reason why they were not."""

    classes: Mapping[str, int]
    by: str = ""
    reason: str = ""
    unclear: tuple[str, ...] = ()


def of_run(run: Run) -> Accuracy | None:
    """Return the accuracy over the images of a run; None where it has no choices or none of them a label."""
    joined = join_labels(run) if run.has("choices") else None
    if joined is None:
        return None
    rank, number, wanted = _choices_of_labelled(run, joined)
    right, first = number == wanted, rank == 0
    pairs, images = np.unique(np.stack([wanted, number])[:, first & ~right], axis=1, return_counts=True)
    most = np.argsort(-images, kind="stable")[:MOST_CONFUSED]
    names, labels = run.model["classes"], {number: label for label, number in joined.classes.items()}
    confused: list[Confusion] = [
        {"label": labels[of], "choice": _class_name(names, taken), "images": count}
        for of, taken, count in zip(*pairs[:, most].tolist(), images[most].tolist(), strict=True)
    ]
    return _accuracy(joined, Counter(rank[right].tolist()), int(first.sum()), confused)


def _accuracy(joined: Joined, right: Mapping[int, int], images: int, confused: list[Confusion]) -> Accuracy:
    low, high = wilson(right.get(0, 0), images)
    return {
        "by": joined.by,
        "reason": joined.reason or ("" if images else "no image with one of these labels has class scores"),
        "unclear": list(joined.unclear),
        "images": images,
        "first": right.get(0, 0),
        "first_five": sum(right.values()),
        "low": low,
        "high": high,
        "confused": confused,
    }


def label_classes(run: Run) -> pa.Table:
    """Return the class of each label; no rows where they could not be joined."""
    joined = join_labels(run)
    pairs = sorted(joined.classes.items()) if joined else []
    return pa.table(
        {
            "label": pa.array([label for label, _ in pairs], pa.large_string()),
            "class": pa.array([number for _, number in pairs], pa.int32()),
        }
    )


def _choices_of_labelled(run: Run, joined: Joined) -> tuple[Int, Int, Int]:
    """Return rank and class of each choice of each labelled image, and the class of its label."""
    stored, label = run.labels
    class_of = np.array([-1 if name is None else joined.classes.get(name, -1) for name in stored])
    rows = run.choices()
    rank, number = (rows[name].to_numpy().astype(np.int64) for name in ("rank", "class"))
    wanted: Int = class_of[label[rows["image_id"].to_numpy()]]
    labelled = wanted >= 0
    return rank[labelled], number[labelled], wanted[labelled]


def label_of_class(run: Run, number: int) -> str | None:
    """Return the label of a class: the one joined to it, else the one with its name among those that are joined to none.

    Raises UsageError where several classes or labels have the name.
    """
    joined, name = join_labels(run), _class_name(run.model["classes"], number)
    classes = joined.classes if joined else {}
    if number in classes.values():
        return next(label for label, index in classes.items() if index == number)
    alike = [str(label) for label in run.labels[0] if label and label not in classes and _plain(label) == _plain(name)]
    if alike and len(alike) + sum(_plain(one) == _plain(name) for one in run.model["classes"]) > 2:
        raise UsageError(
            f"several classes or labels of {run.name} are called {_plain(name)!r}; say with --label which label the images "
            f"of class:{number} have, such as {alike[0]!r}"
        )
    return alike[0] if alike else None


def label_rank(run: Run, label: str | None, classes: Sequence[int]) -> int | None:
    """Return the place of an image's label among its first classes, None where it is not among them or not known."""
    joined = join_labels(run) if label is not None else None
    number = joined.classes.get(str(label)) if joined else None
    return classes.index(number) if number in classes else None


def join_labels(run: Run) -> Joined | None:
    """Return the class of each label of a run's images; None where there are no labels or no names of classes.

    The answer is cached.
    """
    return run.cache.get(
        ("joined",), lambda: _join_labels(run), lambda joined: 100 * len(joined.classes) if joined else 0
    )


def _join_labels(run: Run) -> Joined | None:
    names: Sequence[str] = run.model["classes"] if run.has("model") else ()
    table = run.images()
    used = pc.and_(pc.is_valid(table["label"]), pc.is_null(table["reason"]))
    kinds = (
        table.filter(used)
        .group_by([name for name in ("label", "label_id") if name in table.column_names])
        .aggregate([])
    )
    if not len(kinds) or not names:
        return None
    ids = kinds["label_id"].to_pylist() if "label_id" in kinds.column_names else [None] * len(kinds)
    return join(dict(sorted(zip(kinds["label"].to_pylist(), ids, strict=True))), names)


def join(labels: Mapping[str, str | None], names: Sequence[str]) -> Joined:
    """Join labels, each with its WordNet id if it has one, to the classes of these names.

    Labels that are all numbers are the numbers of classes. Otherwise they are joined by WordNet ids, where the names of the
    1,000 classes are in the order of the ids, and else by name: the first of a list of synonyms, whatever its case.
    """
    if all(label.isascii() and label.isdecimal() for label in labels) and not any(name in labels for name in names):
        return _checked({label: [int(label)] if int(label) < len(names) else [] for label in labels}, "numbers")
    if (by_id := _by_wordnet_id(labels, names)) is not None:
        return Joined(classes=by_id, by="WordNet ids")
    numbers: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        numbers.setdefault(_plain(name), []).append(number)
    return _checked({label: numbers.get(_plain(label), []) for label in labels}, "names")


def _checked(candidates: Mapping[str, Sequence[int]], by: str) -> Joined:
    """Join the labels that have one class of their own, if every label is a class."""
    missing = [label for label, classes in candidates.items() if not classes]
    if missing:
        reason = f"{len(missing):,} of {len(candidates):,} labels are no class of the model, such as {missing[0]!r}"
        return Joined(classes={}, reason=reason)
    shared = Counter(classes[0] for classes in candidates.values())
    clear = {
        label: classes[0] for label, classes in candidates.items() if len(classes) == 1 and shared[classes[0]] == 1
    }
    unclear = tuple(label for label in candidates if label not in clear)
    reason = "" if clear else f"several classes of the model have the name of each label, such as {unclear[0]!r}"
    return Joined(classes=clear, by=by, reason=reason, unclear=unclear)


def _by_wordnet_id(labels: Mapping[str, str | None], names: Sequence[str]) -> dict[str, int] | None:
    """Return the class of each label by its id, if the classes are ImageNet's 1,000 in the order of their ids."""
    known = label_values.imagenet_classes() if all(labels.values()) else {}
    if len(known) != len(names) or not all(identity in known for identity in labels.values()):
        return None
    numbers = {label: known[str(identity)].number for label, identity in labels.items()}
    alike = sum(_plain(names[known[str(i)].number]) in map(_plain, known[str(i)].synonyms) for i in labels.values())
    return numbers if alike >= ALIKE * len(labels) else None


def _plain(name: str) -> str:
    """Return the first synonym of a name in lower case, with spaces for underscores."""
    return " ".join(name.split(",")[0].replace("_", " ").casefold().split())


def _class_name(names: Sequence[Any], number: int) -> str:
    return str(names[number]) if number < len(names) else str(number)


def wilson(right: int, images: int) -> tuple[float, float]:
    """Return Wilson's interval of 95 % for a share (Wilson, JASA 1927)."""
    if not images:
        return 0.0, 1.0
    share, weight = right / images, Z95**2 / images
    middle = (share + weight / 2) / (1 + weight)
    half = Z95 / (1 + weight) * math.sqrt(share * (1 - share) / images + weight / (4 * images))
    return max(0.0, middle - half), min(1.0, middle + half)


def in_words(accuracy: Accuracy) -> Iterator[str]:
    """Yield a line for each thing that an accuracy says."""
    if accuracy["reason"]:
        yield f"accuracy  unknown: {accuracy['reason']}"
        return
    share, low, high = (
        100 * value for value in (accuracy["first"] / accuracy["images"], accuracy["low"], accuracy["high"])
    )
    yield (
        f"accuracy  the first class is the label of {accuracy['first']:,} of {accuracy['images']:,} images, {share:.1f} % "
        f"(95 %: {low:.1f} to {high:.1f}); for {accuracy['first_five']:,} the label is among the first five"
    )
    assumed = ", which is assumed, since every label is a number" if accuracy["by"] == "numbers" else ""
    yield f"accuracy  labels and classes are joined by {accuracy['by']}{assumed}"
    if accuracy["unclear"]:
        yield f"accuracy  not counted, as several classes have the name: {', '.join(accuracy['unclear'])}"
    for row in accuracy["confused"]:
        yield f"accuracy  {row['label']} taken for {row['choice']}: {row['images']:,}"
