"""A run made `--keep peaks` tells the strongest patches of any of its images without the model, as a fresh run of them would."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import corpus

from flows import cli
from flows.config import RunConfig, make
from flows.dry_run import estimate
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import patches
from flows.questions import peaks as peak_answers
from storage.errors import Incomplete, NotFound, UsageError
from storage.run import Run, open_run

LAYER, OTHER = corpus.LAYERS
K = 8


def asked(images: Path, store: Path, **changes: Any) -> RunConfig:
    return corpus.config(images, store, **{"until": "patches", "keep": ("peaks", LAYER)} | changes)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = corpus.write_images(tmp_path_factory.mktemp("images"), 60)
    (folder / "stripes" / "0000.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def store(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    pipeline.run(asked(images, folder, keep=(), name="plain"), Inline())
    pipeline.run(asked(images, folder), Inline())
    return folder


@pytest.fixture
def run(store: Path) -> Run:
    return open_run(store, "small")


def computed(summary: Any) -> set[tuple[str, str | None]]:
    return {(o.output.stage, o.output.layer) for o in summary.outcomes if o.computed}


def manifests(run: Run, stage: str) -> list[str]:
    return [entry.manifest for entry in run.version.stages if entry.stage == stage]


def test_peaks_change_nothing_else_and_are_computed_alone(images: Path, store: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(store, tmp_path / "store"))
    plain, kept = open_run(other, "plain"), open_run(other, "small")
    for stage in ("images", "collect", "patches"):
        assert manifests(plain, stage) == manifests(kept, stage)
    assert "keep" not in plain.version.about["config"]
    assert computed(pipeline.run(asked(images, other), Inline())) == set()
    assert computed(pipeline.run(asked(images, other, keep=("peaks",)), Inline())) == {("peaks", OTHER)}
    assert computed(pipeline.run(asked(images, tmp_path / "fresh"), Inline())) >= {("peaks", LAYER), ("collect", LAYER)}
    assert manifests(open_run(tmp_path / "fresh", "small"), "peaks") == manifests(kept, "peaks")


def by_key(run: Run, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return patches with their images by key, since ids are those of a listing."""
    keys = {row["image_id"]: row["key"] for row in run.images().to_pylist()}
    return [(keys[row["image_id"]], row["y"], row["x"], row["label"], row["reach"], row["focus"]) for row in rows]


def agrees(run: Run, chosen: list[int], images: Path, folder: Path, units: Sequence[int] = range(8)) -> bool:
    """Tell whether patches of chosen images are those of a fresh run over these images alone."""
    keys = {row["image_id"]: row["key"] for row in run.images().to_pylist()}
    for number in chosen:
        target = folder / "images" / keys[number]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / keys[number], target)
    pipeline.run(asked(folder / "images", folder / "store", keep=(), max_rejected=1.0), Inline())
    fresh = open_run(folder / "store", "small")
    where = f"image_id in ({', '.join(map(str, chosen))})"
    return all(
        _same(run, peak_answers.top(run, LAYER, unit, where, k=K, sign=sign), fresh, unit, sign)
        for unit in units
        for sign in patches.SIGNS
    )


def _same(run: Run, answer: patches.TopPatches, fresh: Run, unit: int, sign: str) -> bool:
    expected = patches.top(fresh, LAYER, unit, k=K, sign=sign)
    values = [[patch["value"] for patch in of["patches"]] for of in (answer, expected)]
    places = by_key(run, answer["patches"]), by_key(fresh, expected["patches"])  # type: ignore[arg-type]
    counts = [(of["images_at_extreme"], (of["note"] or "").split(":")[0]) for of in (answer, expected)]
    return places[0] == places[1] and np.allclose(*values, atol=1e-6) and counts[0] == counts[1]


def selections(run: Run, count: int, seed: int = 0) -> list[list[int]]:
    rng, ids = random.Random(seed), run.images()["image_id"].to_pylist()
    return [sorted(rng.sample(ids, rng.randrange(12, 50))) for _ in range(count)]


def test_patches_of_a_selection_are_those_of_a_fresh_run(run: Run, images: Path, tmp_path: Path) -> None:
    for number, chosen in enumerate(selections(run, 2)):
        assert agrees(run, chosen, images, tmp_path / str(number), units=(0, 3, 5)), chosen


@pytest.mark.slow
def test_fifty_selections_have_the_patches_of_fresh_runs(run: Run, images: Path, tmp_path: Path) -> None:
    for number, chosen in enumerate(selections(run, 50, 1)):
        assert agrees(run, chosen, images, tmp_path / str(number)), chosen


def test_mutant_patches_of_all_images(run: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (chosen,) = selections(run, 1)
    monkeypatch.setattr(peak_answers, "images_where", lambda run, where: run.images()["image_id"].to_pylist())
    assert not agrees(run, chosen, images, tmp_path, units=(0, 3))


def test_all_images_have_the_patches_that_the_run_keeps(run: Run) -> None:
    for unit in range(8):
        kept, stored = run.strongest(LAYER, unit, k=K), run.patches(LAYER, unit, K)
        assert kept.to_pylist() == stored.select(kept.column_names).to_pylist()


def test_a_limit_of_the_same_listing_has_the_same_patches(images: Path, store: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(store, tmp_path / "store"))
    pipeline.run(asked(images, other, keep=(), limit=32, name="first"), Inline())
    run, first = open_run(other, "small"), open_run(other, "first")
    ids = first.images()["image_id"].to_pylist()
    for unit in range(8):
        kept = run.strongest(LAYER, unit, ids, k=K)
        assert kept.to_pylist() == first.patches(LAYER, unit, K).select(kept.column_names).to_pylist()


def test_statistics_are_those_of_the_peaks(run: Run) -> None:
    values = np.concatenate([part.value for part in run.peaks(LAYER)], axis=2).astype(np.float64)
    for side, sign in enumerate(patches.SIGNS):
        for row, of_unit in zip(peak_answers.statistics(run, LAYER, sign=sign), values[:, side], strict=True):
            finite = of_unit[np.isfinite(of_unit)]
            assert row["images"] == len(finite) == 59
            assert row["mean"] == pytest.approx(finite.mean())
            assert row["active"] == pytest.approx((finite > 0).mean())
            for share, value in row["quantiles"].items():
                assert value == pytest.approx(np.quantile(finite, float(share)))
    assert peak_answers.statistics(run, LAYER, 3) == peak_answers.statistics(run, LAYER)[3:4]


def invoke(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.invoke(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_answers_and_draws(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "a.png"
    words = ("top", "small", f"{LAYER}:3", "--where", "label = 'noise'", "-k", "30", "--store", str(store))
    code, out, _ = invoke(capsys, *words, "--json", "--sheet", str(sheet))
    answer = json.loads(out)
    assert (code, answer["images"], sheet.stat().st_size > 0) == (0, 20, True)
    assert {patch["label"] for patch in answer["patches"]} == {"noise"}
    code, out, err = invoke(capsys, *words)
    assert (code, len(out.splitlines())) == (0, 21)
    assert "20 images fit" in err
    code, out, _ = invoke(capsys, "peaks", "small", LAYER, "--store", str(store))
    assert (code, len(out.splitlines())) == (0, 9)


def test_a_sheet_says_how_many_images_are_missing(
    images: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = images.rename(tmp_path / "moved")
    try:
        words = ("top", "small", f"{LAYER}:3", "--where", "true", "-k", "4", "--store", str(store))
        code, _, err = invoke(capsys, *words, "--sheet", str(tmp_path / "a.png"))
    finally:
        moved.rename(images)
    assert code == 0
    assert "4 of 4 images are missing" in err


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("top", "small", f"{LAYER}:3", "--where", "lable = 'noise'"), "lable"),
        (("top", "small", f"{LAYER}:3", "--where", "true); drop table images; --"), "("),
        (("top", "small", f"{LAYER}:99", "--where", "true"), "has no unit 99"),
        (("top", "small", f"{OTHER}:3", "--where", "true"), "--keep peaks"),
        (("top", "plain", f"{LAYER}:3", "--where", "true"), "--keep peaks"),
        (("top", "small", f"{LAYER}:3", "--where", "true", "-k", "0"), "-k is 0"),
        (("peaks", "small", "nowhere"), "nowhere"),
        (("peaks", "small", f"{LAYER}:99"), "has no unit 99"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_line(
    store: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], names: str
) -> None:
    code, _, err = invoke(capsys, *words, "--store", str(store))
    assert code != 0
    assert len(err.splitlines()) == 1
    assert names in err


def test_images_that_the_run_lacks_are_named(run: Run) -> None:
    with pytest.raises(NotFound, match="no image 60"):
        run.strongest(LAYER, 0, [3, 60])
    with pytest.raises(Incomplete, match="--keep peaks"):
        run.peaks(OTHER)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"keep": ["samples"]}, "peaks"),
        ({"keep": ["peaks", "features.9"]}, "features.9"),
        ({"keep": ["peaks"], "patches_per_image": 3}, "patches_per_image of --config is 3"),
    ],
)
def test_settings_that_cannot_be_are_named(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(UsageError, match=names) as caught:
        make({"images": "x", "model": "support.corpus:net", "layers": list(corpus.LAYERS)} | changes)
    assert len(str(caught.value).splitlines()) == 1


def test_a_dry_run_tells_their_bytes(images: Path, store: Path, tmp_path: Path) -> None:
    config = asked(images, tmp_path / "none", keep=("peaks",))
    rows = {row["layer"]: row["bytes"] for row in estimate.estimate(config)["stages"] if row["stage"] == "peaks"}
    files = [part.manifest["files"].values() for part in open_run(store, "small").results("peaks", LAYER)]
    written = sum(file["bytes"] for part in files for file in part)
    assert rows.keys() == set(corpus.LAYERS)
    assert 0.4 < rows[LAYER] / written < 2.5


def test_options_are_spelled_in_a_row() -> None:
    assert cli.spread(["run", "--keep", "peaks", "a"]) == ["run", "--keep", "peaks", "--keep", "a"]
