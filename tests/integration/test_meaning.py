"""Meaning as a stage: every patch encoded once, scores by the formula, the encoder in the key and in every answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import corpus
from support.colour_encoder import ColourEncoder
from support.trees import tree

from atlas.arrays import SIGNS
from atlas.meaning import mis
from flows.cli import invoke
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import patches as patch_answers
from flows.questions import sql
from flows.stages import meaning
from storage.artefacts import arrays, meanings, tables
from storage.encoders import loading
from storage.errors import UsageError
from storage.images.crops import thumbnail
from storage.images.decode import decode
from storage.run import Run, open_run

LAYER = "features.5"


def run(config: RunConfig) -> dict[str, Any]:
    return pipeline.run(config, Inline()).as_dict()


def asked(images: Path, store: Path, **changes: Any) -> RunConfig:
    return corpus.config(images, store, **({"until": "patches", "extras": ("meaning",), "layers": (LAYER,)} | changes))


@pytest.fixture(autouse=True, scope="module")
def _colours() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", lambda name: ColourEncoder())
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 40)


@pytest.fixture(scope="module")
def store(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    run(asked(images, folder))
    return folder


@pytest.fixture
def opened(store: Path) -> Run:
    return open_run(store, "small")


def encoded(path: str, box: dict[str, int]) -> np.ndarray:
    """Return the vector of a part of an image, decoded and cut by itself."""
    data = thumbnail(decode(Path(path).read_bytes()), tuple(box[side] for side in meaning.SIDES), ColourEncoder.side)
    pixels = decode(data).convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
    return ColourEncoder().images(torch.from_numpy(np.asarray(pixels).copy())[None])[0].numpy()


def wrong_vectors(opened: Run) -> int:
    """Count the patches of three units whose stored vector is not that of their part of the image."""
    wrong = 0
    for unit in (0, 5, 11):
        for sign in SIGNS:
            rows = opened.patches(LAYER, unit, 64, sign).to_pylist()
            vectors = meanings.vectors_of(opened.result("meaning", LAYER), unit, sign)
            assert len(rows) == len(vectors) == 40
            pairs = zip(rows[:8], vectors, strict=False)
            wrong += sum(np.abs(encoded(row["path"], row["focus"]) - vector).max() > 2e-3 for row, vector in pairs)
    return wrong


def test_each_vector_is_that_of_its_patch(opened: Run) -> None:
    assert wrong_vectors(opened) == 0
    group = opened.result("meaning", LAYER).file("vectors.zarr")
    vectors = arrays.read_array(group, "vectors")
    assert vectors.dtype == np.float16
    boxes = tables.read_table(opened.result("patches", LAYER).file("patches.parquet")).to_pylist()
    parts = {(row["image_id"], *(row[f"focus_{side}"] for side in meaning.SIDES)) for row in boxes}
    assert len(vectors) == len(parts) < len(boxes)  # units share parts of images, which are encoded once


def test_mutant_vectors_of_other_patches_are_caught(opened: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = meanings.unit_vectors
    monkeypatch.setattr(meanings, "unit_vectors", lambda stored: real(stored)[::-1])
    assert wrong_vectors(opened) > 10


def test_scores_are_those_of_the_stored_vectors(opened: Run) -> None:
    result = opened.result("meaning", LAYER)
    sides = [[meanings.vectors_of(result, unit, sign) for unit in range(12)] for sign in SIGNS]
    scores = mis.scores(*sides, np.zeros(12, np.bool_))
    rows = sql.ask(opened, "SELECT * FROM meaning ORDER BY unit")
    for name, values in (("mis", scores.both), ("mis_positive", scores.positive), ("mis_negative", scores.negative)):
        assert np.allclose([row[name] for row in rows], values, atol=1e-12)
    assert {(row["encoder"], row["weights"], row["layer"]) for row in rows} == {("dino", "c01047", LAYER)}
    assert result.record("meaning.json")["alpha"] == pytest.approx(scores.alpha)


def test_answers_hold_the_score_with_its_encoder(store: Path, opened: Run, capsys: pytest.CaptureFixture[str]) -> None:
    scores = meanings.of_unit(opened.result("meaning", LAYER), 3)
    for sign, value in (("positive", scores.mis_positive), ("negative", scores.mis_negative)):
        answer = patch_answers.top(opened, LAYER, 3, sign=sign)
        assert (answer["mis"], answer["encoder"]) == (value, "dino")
    assert invoke(["unit", "small", f"{LAYER}:3", "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["meaning"] == {
        "encoder": "dino",
        "weights": "c01047",
        "mis": scores.mis,
        "mis_positive": scores.mis_positive,
        "mis_negative": scores.mis_negative,
    }
    columns = sql.ask(
        opened, "SELECT mis_positive, label_entropy, label_lift, sparsity FROM unit_metrics WHERE unit = 3"
    )
    assert columns[0]["mis_positive"] == pytest.approx(scores.mis_positive)


def test_label_scores_and_sparsity_are_those_of_loops(opened: Run) -> None:
    rows = sql.ask(opened, "SELECT unit, label_entropy, label_lift, sparsity FROM unit_metrics ORDER BY unit")
    values = np.abs(opened.samples(LAYER).activations.astype(np.float64))
    images = opened.images()["label"].to_pylist()
    for row in rows:
        labels = opened.patches(LAYER, row["unit"], 16)["label"].to_pylist()
        shares = {name: labels.count(name) / 16 for name in set(labels)}
        assert row["label_entropy"] == pytest.approx(-sum(p * np.log2(p) for p in shares.values()), abs=1e-9)
        first = [name for name in shares if shares[name] == max(shares.values())]
        assert row["label_lift"] == pytest.approx(max(shares[one] / (images.count(one) / 40) for one in first))
        unit, root = values[:, row["unit"]], len(values) ** 0.5
        hoyer = (root - unit.sum() / (unit**2).sum() ** 0.5) / (root - 1) if unit.any() else None
        assert row["sparsity"] == (None if hoyer is None else pytest.approx(hoyer, abs=1e-9))


def test_the_key_changes_with_the_weights_and_results_are_repeatable(
    images: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asked(images, store)
    assert not any(row["computed"] for row in run(again)["stages"])
    run(asked(images, tmp_path, shard_size=7))
    first, second = (open_run(place, "small").result("meaning", LAYER) for place in (store, tmp_path))
    assert tree(first.path) == tree(second.path)  # over any sharding
    monkeypatch.setattr(ColourEncoder, "weights", "other")
    computed = {row["stage"] for row in run(again)["stages"] if row["computed"]}
    assert computed == {"meaning"}


def test_everything_does_not_ask_for_an_encoder(images: Path, tmp_path: Path) -> None:
    summary = run(asked(images, tmp_path, extras=("everything",), layers=(LAYER,), icon_size=16))
    assert "meaning" not in {row["stage"] for row in summary["stages"]}


def test_an_unknown_encoder_is_refused_before_an_image_is_read(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(loading, "load", loading.names.check)
    with pytest.raises(UsageError, match="encoder 'clip': write dino, conse, open_clip:NAME or transformers:NAME"):
        run(asked(images, tmp_path, encoder="clip"))
