"""Labels joined to classes, one to one or not at all; and the interval of a share."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from scipy.stats import binomtest
from timm.data.imagenet_info import ImageNetInfo

from flows.questions import accuracy
from flows.questions.accuracy import join, wilson
from storage.errors import UsageError
from storage.images import labels as label_values

INFO = ImageNetInfo()
IDS = INFO.label_names()
NAMES = [INFO.label_name_to_description(text).split(",")[0] for text in IDS]


def named(*names: str) -> dict[str, str | None]:
    return dict.fromkeys(names)


def test_names_join_whatever_their_case_and_synonyms() -> None:
    joined = join(
        named("Great_White  Shark", "tench"), ["tench, Tinca tinca", "goldfish", "great white shark, man-eater"]
    )
    assert joined.classes == {"Great_White  Shark": 2, "tench": 0}
    assert (joined.by, joined.reason) == ("names", "")


def test_a_label_that_is_no_class_is_named() -> None:
    joined = join(named("tench", "dog", "cat"), ["tench", "cat"])
    assert not joined.classes
    assert joined.reason == "1 of 3 labels are no class of the model, such as 'dog'"


@pytest.mark.parametrize(("labels", "classes"), [(["crane"], ["crane", "Crane"]), (["crane", "Crane"], ["crane", "x"])])
def test_what_is_not_one_to_one_is_not_joined(labels: list[str], classes: list[str]) -> None:
    joined = join(named(*labels), classes)
    assert not joined.classes
    assert "several classes of the model have the name of each label, such as 'crane'" in joined.reason
    others = join(named(*labels, "tench"), [*classes, "tench"])
    assert others.classes == {"tench": len(classes)}
    assert (others.reason, set(others.unclear)) == ("", set(labels))


def test_wordnet_ids_tell_two_classes_of_one_name_apart() -> None:
    """Both cranes, whose labels are shown with the id, at their numbers in the order of the ids."""
    labels = {f"crane ({text})": text for text in ("n02012849", "n03126707")} | {"tench": "n01440764"}
    joined = join(labels, NAMES)
    assert joined.by == "WordNet ids"
    assert joined.classes == {label: IDS.index(text) for label, text in labels.items()}
    assert joined.classes["crane (n02012849)"] == 134


def test_classes_in_another_order_are_not_joined_by_id() -> None:
    labels: dict[str, str | None] = dict(zip(NAMES[:20], IDS[:20], strict=True))
    joined = join(labels, NAMES[::-1])
    assert joined.by == "names"
    assert all(NAMES[::-1][number] == label for label, number in joined.classes.items())


def test_mutant_ids_without_a_look_at_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "ALIKE", 0.0)
    with pytest.raises(AssertionError):
        test_classes_in_another_order_are_not_joined_by_id()


def test_without_timm_ids_join_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_values, "imagenet_classes", dict)
    assert join({"tench": "n01440764"}, NAMES).by == "names"


def test_numbers_are_those_of_classes() -> None:
    joined = join(named("0", "12"), [f"class {number}" for number in range(13)])
    assert (joined.classes, joined.by) == ({"0": 0, "12": 12}, "numbers")
    assert "such as '12'" in join(named("0", "12"), ["a", "b"]).reason


def test_digits_that_are_names_stay_names() -> None:
    assert join(named("1", "2"), ["2", "1"]).classes == {"1": 1, "2": 0}


def label_of(
    labels: Mapping[str, str | None], classes: list[str], number: int, monkeypatch: pytest.MonkeyPatch
) -> str | None:
    run: Any = SimpleNamespace(name="small", model={"classes": classes}, labels=([None, *labels], None))
    monkeypatch.setattr(accuracy, "join_labels", lambda _: join(labels, classes))
    return accuracy.label_of_class(run, number)


def test_the_label_of_a_class_is_the_one_that_is_joined_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert label_of(named("0", "1"), ["tench", "goldfish"], 1, monkeypatch) == "1"
    assert label_of(named("Great_White  Shark"), ["tench", "great white shark, man-eater"], 1, monkeypatch) is not None
    cranes: dict[str, str | None] = {f"crane ({text})": text for text in ("n02012849", "n03126707")}
    assert [label_of(cranes, NAMES, number, monkeypatch) for number in (134, 517)] == list(cranes)
    machine: dict[str, str | None] = {"crane": "n03126707"}
    assert [label_of(machine, NAMES, number, monkeypatch) for number in (134, 517)] == [None, "crane"]


def test_where_some_label_is_no_class_the_others_are_found_by_the_same_rule_of_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = ["great white shark, man-eater", "tench"]
    assert label_of(named("Great_White  Shark", "dog"), classes, 0, monkeypatch) == "Great_White  Shark"
    assert label_of(named("Great_White  Shark", "dog"), classes, 1, monkeypatch) is None


@pytest.mark.parametrize(("labels", "classes"), [(["crane"], ["crane", "Crane"]), (["crane", "Crane"], ["crane", "x"])])
@pytest.mark.parametrize("more", [[], ["no class"]])
def test_the_label_of_a_class_is_not_guessed(
    labels: list[str], classes: list[str], more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="say with --label which label the images of class:0 have, such as 'crane'"):
        label_of(named(*labels, *more), classes, 0, monkeypatch)


@pytest.mark.parametrize(("right", "images"), [(0, 5), (3, 7), (712, 1000), (9, 9)])
def test_the_interval_is_wilsons(right: int, images: int) -> None:
    expected = binomtest(right, images).proportion_ci(method="wilson")
    assert wilson(right, images) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_no_image_with_scores_is_no_accuracy() -> None:
    answer = accuracy._accuracy(join(named("a"), ["a", "b"]), {}, 0, [])
    assert list(accuracy.in_words(answer)) == ["accuracy  unknown: no image with one of these labels has class scores"]
