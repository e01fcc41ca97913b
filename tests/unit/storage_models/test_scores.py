"""Class scores are chosen by name, then by shape; what is none is refused, and what was chosen among several is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from storage.errors import ModelError, UsageError
from storage.models import scores
from storage.models.scores import NoScores, Scores, choose

TABLE = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
EMBEDDING = torch.randn(2, 12, generator=torch.Generator().manual_seed(1))


class Named(NamedTuple):
    embedding: Tensor
    logits: Tensor


@dataclass
class Fields:
    features: Tensor
    scores: Tensor


def rows(make: Callable[[int], Any]) -> tuple[Any, Any]:
    """Return what a model gives for one image and for two."""
    return make(1), make(2)


OUTPUTS: dict[str, tuple[Callable[[int], Any], scores.Path]] = {
    "a tensor": (lambda n: TABLE[:n], ()),
    "with places": (lambda n: TABLE[:n, :, None, None], ()),
    "a dict": (lambda n: {"embedding": EMBEDDING[:n], "logits": TABLE[:n]}, ("logits",)),
    "a dict of other names": (lambda n: {"embedding": EMBEDDING[:n], "out": TABLE[:n]}, ("out",)),
    "a named tuple": (lambda n: Named(EMBEDDING[:n], TABLE[:n]), ("logits",)),
    "a dataclass": (lambda n: Fields(EMBEDDING[:n], TABLE[:n]), ("scores",)),
    "an object": (lambda n: SimpleNamespace(hidden=EMBEDDING[:n], logits=TABLE[:n]), ("logits",)),
    "an embedding first": (lambda n: (EMBEDDING[:n], TABLE[:n]), (1,)),
    "a nest": (lambda n: {"aux": (EMBEDDING[:n],), "head": {"logits": TABLE[:n]}}, ("head", "logits")),
    "a mask beside": (lambda n: {"mask": TABLE[:n] > 0, "y": TABLE[:n]}, ("y",)),
    "labels beside": (lambda n: (TABLE[:n].argmax(1), TABLE[:n]), (1,)),
    "nothing beside": (lambda n: (TABLE.new_zeros(n, 0), TABLE[:n], None), (1,)),
    "a map beside": (lambda n: [TABLE.new_zeros(n, 5, 4, 4), TABLE[:n]], (1,)),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_scores_are_chosen(name: str) -> None:
    make, path = OUTPUTS[name]
    alone, beside = rows(make)
    choice = choose(alone, beside, classes=5)
    assert isinstance(choice, Scores)
    assert choice.path == path
    assert torch.equal(choice(beside), TABLE)
    assert torch.equal(choice(alone), TABLE[:1])


def test_several_are_said_and_one_is_not() -> None:
    alone, beside = rows(OUTPUTS["an embedding first"][0])
    assert choose(alone, beside, classes=5).note == (
        "class scores: 1 (b × 5), of 0 (b × 12), 1 (b × 5); --logits NAME takes another"
    )
    assert choose(TABLE[:1], TABLE).note == ""


def test_the_last_linear_layer_decides_where_no_class_is_named() -> None:
    alone, beside = rows(OUTPUTS["an embedding first"][0])
    assert choose(alone, beside, head=5) == choose(alone, beside, classes=5)
    assert getattr(choose(alone, beside), "path", None) == (0,)


REFUSED: dict[str, Callable[[int], Any]] = {
    "no batch": lambda n: TABLE[0],
    "a batch axis that is not first": lambda n: TABLE[:n].T,
    "a constant table": lambda n: TABLE,
    "a segmentation": lambda n: {"out": TABLE.new_zeros(n, 21, 8, 8)},
    "a detector": lambda n: [{"boxes": TABLE.new_zeros(7, 4), "scores": TABLE.new_zeros(7)} for _ in range(n)],
    "integers": lambda n: TABLE[:n].argmax(1),
    "no tensor": lambda n: "five",
    "nothing": lambda n: None,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_of_images_is_refused_where_it_is_needed(name: str) -> None:
    alone, beside = rows(REFUSED[name])
    choice = choose(alone, beside)
    assert isinstance(choice, NoScores)
    with pytest.raises(ModelError, match="has no class scores") as error:
        choice(beside)
    assert "\n" not in str(error.value)


def test_sparse_scores_are_those_of_the_dense_tensor() -> None:
    chosen = choose(TABLE[:1].to_sparse(), TABLE.to_sparse())
    torch.testing.assert_close(chosen(TABLE.to_sparse()), TABLE)
    torch.testing.assert_close(scores.find_logits({"scores": TABLE.to_sparse()}), TABLE)


def test_probabilities_are_not_put_through_a_second_softmax() -> None:
    shares = TABLE.softmax(1)
    choice = choose(shares[:1], shares)
    assert "add up to 1" in choice.note
    assert torch.allclose(choice(shares).softmax(1), shares, atol=1e-6)
    certain = torch.eye(5)[:2]
    assert torch.allclose(choice(certain).softmax(1), certain, atol=1e-30)


def test_logits_are_not_taken_for_probabilities() -> None:
    for table in (TABLE, TABLE.softmax(1) * 2, TABLE.sigmoid(), torch.tensor([[0.5, 0.9, -0.4]] * 2), torch.ones(2, 1)):
        choice = choose(table[:1], table)
        assert isinstance(choice, Scores)
        assert not choice.probabilities
        assert torch.equal(choice(table), table)


def test_one_number_per_image_is_a_score() -> None:
    choice = choose(TABLE[:1, 0], TABLE[:, 0])
    assert torch.equal(choice(TABLE[:, 0]), TABLE[:, :1])


@pytest.mark.parametrize(
    ("requested", "path"),
    [("embedding", ("embedding",)), ("head.logits", ("head", "logits")), ("-1", ("head", "logits"))],
)
def test_the_user_chooses(requested: str, path: scores.Path) -> None:
    alone, beside = rows(
        lambda n: {"embedding": EMBEDDING[:n], "map": EMBEDDING.new_zeros(n, 2, 2), "head": {"logits": TABLE[:n]}}
    )
    choice = choose(alone, beside, requested=requested)
    assert isinstance(choice, Scores)
    assert choice.path == path
    for wrong, words in (("nothing", "is not in"), ("7", "is not in"), ("map", "no row of numbers per image")):
        with pytest.raises(UsageError, match=rf"--logits {wrong}\b.*{words}"):
            choose(alone, beside, requested=wrong)


def test_the_choice_has_a_name_of_its_own_in_keys() -> None:
    assert Scores().name == "find_logits"
    assert len({Scores().name, Scores(path=(1,)).name, Scores(path=(1,), probabilities=True).name}) == 3


def test_mutant_by_order_alone_the_embedding_is_taken() -> None:
    alone, beside = rows(OUTPUTS["an embedding first"][0])
    first = next(tensor for _, tensor in scores.leaves(beside))
    assert not torch.equal(choose(alone, beside, classes=5)(beside), first)
