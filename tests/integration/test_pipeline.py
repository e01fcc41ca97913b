"""The whole job on a small corpus: exact, repeatable, incremental, and honest about broken images."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import brute, corpus
from support.trees import strays, tree

from atlas.arrays import SIGNS
from atlas.collect import LayerReduction
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning.tasks import Outcome, Task
from flows.questions import patches as patch_answers
from storage.errors import BadWeights, Incomplete, UnknownLayer, UsageError
from storage.images import loader
from storage.run import open_run
from storage.store.store import Store


def run(config: RunConfig) -> dict[str, Any]:
    return pipeline.run(config, Inline()).as_dict()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = corpus.config(images, tmp_path_factory.mktemp("store"))
    run(config)
    return config


def test_top_patches_equal_brute_force(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    for layer in corpus.LAYERS:
        found = brute.all_activations(finished, opened, layer)
        for unit in range(next(iter(found.values())).shape[0]):
            for sign in SIGNS:
                patches = opened.patches(layer, unit, 16, sign).to_pylist()
                assert not brute.differences(found, unit, sign, patches), (layer, unit)


def test_samples_are_the_activations_at_their_positions(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    found = brute.all_activations(finished, opened, "features.5")
    samples = opened.samples("features.5")
    assert len(samples.image_id) == 2 * 60
    expected = [found[i][:, y, x] for i, y, x in zip(samples.image_id.tolist(), samples.y, samples.x, strict=True)]
    np.testing.assert_allclose(samples.activations, np.array(expected), rtol=1e-4, atol=1e-5)


def test_weights_written_over_while_a_run_goes_on_are_refused(images: Path, tmp_path: Path) -> None:
    """Else the new weights' numbers would lie under the keys of the old ones, for every run to come."""
    weights, net = tmp_path / "w.pt", corpus.net()
    torch.save(net.state_dict(), weights)

    class Overwriting(Inline):
        def run(self, works: Iterable[Task]) -> list[Outcome]:
            made = []
            for work in works:
                made += super().run([work])
                if work.stage == "collect":
                    torch.save({name: 1.7 * value for name, value in net.state_dict().items()}, weights)
            return made

    config = corpus.config(images, tmp_path / "store", weights=str(weights), until="collect")
    with pytest.raises(BadWeights, match=r"w\.pt changed while the run went on"):
        pipeline.run(config, Overwriting())
    assert len(Store(tmp_path / "store").results("collect")) == len(corpus.LAYERS)  # the first shard's


def test_cells_are_the_means_of_their_members(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    cells, samples = opened.cells("features.5", 4), opened.samples("features.5")
    points = opened.layout("features.5")
    for i in range(len(cells.row)):
        members = cells.members[cells.offsets[i] : cells.offsets[i + 1]]
        assert len(members) == cells.count[i] >= 2
        np.testing.assert_allclose(cells.mean[i], samples.activations[members].mean(axis=0), rtol=1e-5, atol=1e-6)
        assert (np.minimum((points[members] * 4).astype(int), 3) == [cells.col[i], cells.row[i]]).all()
    assert cells.icon.shape == (len(cells.row), 24, 24, 3)
    assert np.isfinite(cells.cosine).all()


@pytest.mark.parametrize("changes", [{"shard_size": 7}, {"shard_size": 60, "batch": 16}, {"batch": 5}])
def test_patches_do_not_depend_on_shards_and_batches(
    changes: dict[str, int], finished: RunConfig, images: Path, tmp_path: Path
) -> None:
    config = corpus.config(images, tmp_path, until="patches", **changes)
    run(config)
    opened = open_run(tmp_path, "small")
    for layer in corpus.LAYERS:
        found = brute.all_activations(config, opened, layer)
        for unit in range(8):
            for sign in SIGNS:
                assert not brute.differences(found, unit, sign, opened.patches(layer, unit, 64, sign).to_pylist(), k=64)


def test_the_same_command_again_computes_nothing(finished: RunConfig) -> None:
    before = tree(Path(finished.store))
    summary = run(finished)
    assert summary["computed"] == 0
    assert summary["version"] == 1
    assert tree(Path(finished.store)) == before


def test_another_store_gets_the_same_bytes(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    run(corpus.config(images, tmp_path))
    assert tree(tmp_path) == tree(Path(finished.store))
    assert not strays(tmp_path)


def computed(summary: dict[str, Any]) -> dict[tuple[str, str | None], int]:
    return {(row["stage"], row["layer"]): row["computed"] for row in summary["stages"] if row["computed"]}


def test_another_layer_collects_only_that_layer(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    summary = run(corpus.config(images, tmp_path / "store", layers=(*corpus.LAYERS, "features.0")))
    assert {layer for _, layer in computed(summary)} == {"features.0", None}
    assert {stage for stage, layer in computed(summary) if layer is None} == {"model"}


def test_more_images_collect_only_new_shards(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    run(corpus.config(images, tmp_path, limit=40, until="collect"))
    summary = run(corpus.config(images, tmp_path, limit=60, until="collect"))
    # 40 images are two full shards of 16 and one of 8; 60 are three full ones and one of 12.
    assert computed(summary) == {("images", None): 2, ("collect", "features.2"): 2, ("collect", "features.5"): 2}


def test_another_recipe_draws_only_icons(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    summary = run(corpus.config(images, tmp_path / "store", icon_size=20))
    assert {stage for stage, _ in computed(summary)} == {"icons", "tiles"}


def test_new_labels_compute_nothing_else(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    labels = tmp_path / "labels.csv"
    labels.write_text("key,label\nnoise/0002.png,a quiet one\n")
    summary = run(corpus.config(images, tmp_path / "store", labels=str(labels)))
    assert {stage for stage, _ in computed(summary)} == {"labels"}
    table = open_run(tmp_path / "store", "small").images()
    assert (
        dict(zip(table["key"].to_pylist(), table["label"].to_pylist(), strict=True))["noise/0002.png"] == "a quiet one"
    )


def test_until_stops_and_a_later_call_goes_on(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    run(corpus.config(images, tmp_path, until="patches"))
    stopped = open_run(tmp_path, "small")
    assert patch_answers.top(stopped, "features.5", 3)["patches"]
    with pytest.raises(Incomplete, match="without --until"):
        stopped.layout("features.5")
    summary = run(corpus.config(images, tmp_path))
    assert {stage for stage, _ in computed(summary)} == {"layout", "moment", "cells", "members", "icons", "tiles"}


def test_an_unknown_layer_is_refused_before_any_image_is_read(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownLayer, match=r"features\.5"):
        run(corpus.config(images, tmp_path / "store", layers=("feature.5",)))
    assert not (tmp_path / "store").exists()


def break_images(folder: Path, good: Path, count: int) -> dict[str, str]:
    """Put broken files among copies of good images; return the reason expected for each."""
    shutil.copytree(good, folder)
    some = sorted(good.rglob("*.png"))[0].read_bytes()
    kinds = {
        "empty": b"",
        "not-an-image": b"hello, world, this is a text" * 20,
        "truncated": some[: len(some) // 2],
    }
    expected = {}
    for number in range(count):
        reason = list(kinds)[number % len(kinds)]
        path = folder / "checks" / f"bad{number:03d}.png"
        path.write_bytes(kinds[reason])
        expected[str(path)] = reason
    return expected


def test_broken_images_are_recorded_and_change_nothing_else(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    assert harm_of_broken_images(finished, images, tmp_path) == []


def harm_of_broken_images(finished: RunConfig, images: Path, folder: Path) -> list[str]:
    """Run with 12 broken images among the 60; say what is not told of them, or not as without them."""
    expected = break_images(folder / "images", images, 12)
    summary = run(corpus.config(folder / "images", folder / "store", max_rejected=0.3, shard_size=72))
    opened, clean = open_run(folder / "store", "small"), open_run(finished.store, "small")
    rejects = opened.rejects().to_pylist()
    wrong = ["counts"] if (summary["rejected"], summary["used"], len(rejects)) != (12, 60, 12) else []
    wrong += ["reasons"] if {row["path"]: row["reason"] for row in rejects} != expected else []
    return wrong + (["others"] if by_path(opened, folder / "images") != by_path(clean, images) else [])


def test_mutant_broken_images_taken_for_black_ones_are_seen(
    finished: RunConfig, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, shown = loader._decode_one, {"width": 8, "height": 8, "reason": None, "detail": None}

    def lenient(index: int, data: Any, preprocess: Any) -> loader.Decoded:
        index, pixels, fact = one(index, data, preprocess)
        return (index, preprocess.blank(1)[0], fact | shown) if pixels is None else (index, pixels, fact)

    monkeypatch.setattr(loader, "_decode_one", lenient)
    assert harm_of_broken_images(finished, images, tmp_path) == ["counts", "reasons", "others"]


def test_mutant_an_image_in_a_broken_ones_place_is_seen(
    finished: RunConfig, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows a broken image moves up by one, as it would if rejected images left no gap."""
    load = loader.load

    def closing(*given: Any, **how: Any) -> Any:
        for batch in load(*given, **how):
            order = np.argsort(~batch.valid, kind="stable")
            yield dataclasses.replace(batch, pixels=batch.pixels[order])

    monkeypatch.setattr(loader, "load", closing)
    assert harm_of_broken_images(finished, images, tmp_path) == ["others"]


def by_path(opened: Any, root: Path) -> dict[str, Any]:
    """Return every sample and every patch of a run, joined by path: what must not change when broken images are about."""
    names = {r["image_id"]: str(Path(r["path"]).relative_to(root)) for r in opened.images().to_pylist()}
    samples = opened.samples("features.5")
    where = zip(samples.image_id.tolist(), samples.y.tolist(), samples.x.tolist(), strict=True)
    found: dict[str, Any] = {
        f"{names[i]} {y},{x}": vector.tobytes() for (i, y, x), vector in zip(where, samples.activations, strict=True)
    }
    for unit in range(12):
        for sign in SIGNS:
            rows = opened.patches("features.5", unit, 64, sign).to_pylist()
            found[f"{unit} {sign}"] = [(r["value"], names[r["image_id"]], r["y"], r["x"], r["focus"]) for r in rows]
    return found


def test_too_many_broken_images_stop_the_run_unpublished(images: Path, tmp_path: Path) -> None:
    break_images(tmp_path / "images", images, 12)
    with pytest.raises(pipeline.TooManyRejected, match=r"12 of 72 .*4 empty.*4 not-an-image.*4 truncated"):
        run(corpus.config(tmp_path / "images", tmp_path / "store", until="patches"))
    assert not list((tmp_path / "store" / "runs").rglob("*.json"))


def test_mutant_wrong_position_is_caught_by_brute_force(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strongest = LayerReduction._strongest

    def shifted(self: LayerReduction, flat: Any, sign: str) -> Any:
        value, place = strongest(self, flat, sign)
        return value, (place + 1) % flat.shape[1]

    monkeypatch.setattr(LayerReduction, "_strongest", shifted)
    config = corpus.config(images, tmp_path, until="patches")
    run(config)
    opened = open_run(tmp_path, "small")
    found = brute.all_activations(config, opened, "features.5")
    assert brute.differences(found, 0, "positive", opened.patches("features.5", 0, 16).to_pylist())


def test_images_that_are_gone_leave_the_run(images: Path, tmp_path: Path) -> None:
    """Ids stay, a removed image is neither used nor listed, and only its shard is collected again."""
    shutil.copytree(images, tmp_path / "images")
    config = corpus.config(tmp_path / "images", tmp_path / "store", until="collect")
    run(config)
    before = {row["key"]: row["image_id"] for row in open_run(tmp_path / "store", "small").images().to_pylist()}
    gone = next(key for key, image_id in before.items() if image_id == 20)
    (tmp_path / "images" / gone).unlink()
    summary = run(config)
    after = {row["key"]: row["image_id"] for row in open_run(tmp_path / "store", "small").images().to_pylist()}
    assert after == {key: image_id for key, image_id in before.items() if key != gone}
    assert (summary["images"], summary["used"]) == (59, 59)
    assert computed(summary)[("images", None)] == 1
    assert 20 not in open_run(tmp_path / "store", "small").samples("features.5").image_id


def test_field_is_measured_on_images_that_are_there(images: Path, tmp_path: Path) -> None:
    """When all images listed first are gone, the focus comes from the new ones and is not the stride."""
    shutil.copytree(images / "noise", tmp_path / "images" / "old")
    run(corpus.config(tmp_path / "images", tmp_path / "store", until="listing"))
    shutil.rmtree(tmp_path / "images" / "old")
    shutil.copytree(images / "checks", tmp_path / "images" / "new")
    run(corpus.config(tmp_path / "images", tmp_path / "store", until="field"))
    run(corpus.config(tmp_path / "images", tmp_path / "fresh", until="field"))
    focus = [open_run(tmp_path / store, "small").field("features.5").focus for store in ("store", "fresh")]
    assert focus[0] == focus[1]
    shutil.rmtree(tmp_path / "images" / "new")
    (tmp_path / "images" / "empty").mkdir()
    with pytest.raises(UsageError, match="no images"):
        run(corpus.config(tmp_path / "images", tmp_path / "store", until="field"))
