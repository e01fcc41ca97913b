"""Audits of classes: a watermark that a head was trained on, clean classes, and what is said where there is nothing to audit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import corpus, watermarked

from atlas.auditing import split_tests
from atlas.auditing.watermarks import Watermark
from flows import cli, notebook
from flows.audit import audit as auditing
from flows.audit import images, parts
from flows.audit.answers import Audit
from flows.model import images as model_images
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.sheets import audit as audit_sheet
from storage.errors import Incomplete, NotFound, UsageError
from storage.run import Run, open_run

COUNT = 40
PLANTED, *CLEAN = watermarked.CLASSES
SETTINGS: dict[str, object] = {
    "model": "support.watermarked:net",
    "input_size": None,
    "layers": ("relu",),
    "shard_size": 256,
    "batch": 32,
    "samples_per_image": 1,
    "until": "collect",
}


def published(folder: Path, share: float, seed: int, **changes: object) -> Run:
    """Write images with a watermark on a share of the first class, train a head on them, and publish a run."""
    images = watermarked.write_images(folder / "images", COUNT, share, seed)
    weights = watermarked.train(images, folder / "head.pt")
    settings = SETTINGS | {"weights": str(weights), "until": "patches"}
    pipeline.run(corpus.config(images, folder / "store", **(settings | changes)), Inline())
    return open_run(folder / "store", "small")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return published(
        tmp_path_factory.mktemp("audit"), 0.3, 0, until="cells", extras=("attribution",), samples_per_image=2
    )


@pytest.fixture(scope="module")
def planted(run: Run) -> Audit:
    return auditing.audit(run, PLANTED)


def rank_of_the_watermark(answer: Audit) -> int | None:
    """Return the rank of the watermark's unit among the suspects, if it is one for that reason."""
    for rank, row in enumerate(answer["suspects"], 1):
        if row["unit"] == watermarked.WATERMARK and row["tests"][0]["kind"] == "watermark":
            return rank
    return None


def test_the_watermark_is_a_suspect_and_its_unit_does_what_is_planted(planted: Audit) -> None:
    assert rank_of_the_watermark(planted) == 1
    row = planted["suspects"][0]
    assert row["place"] is not None and row["place"] >= 0.9  # noqa: PT018
    assert len(row["patches"]) == 6
    assert all(Path(patch["path"]).stem.endswith("m") for patch in row["patches"])
    assert row["effects"] is not None
    assert row["effects"]["part"]["change"] < 3 * row["effects"]["others"]["change"] <= 0
    assert row["effects"]["part"]["images"] == row["tests"][0]["images"] == pytest.approx(0.3 * COUNT, abs=1)
    assert row["without"] is not None
    assert row["without"]["images"] == planted["others"] == 3 * COUNT


def test_what_is_used_is_what_adds_to_the_class(run: Run, planted: Audit) -> None:
    """The head is linear in the mean of each unit, so that what a unit adds is its mean times its weight."""
    from flows.model import published as models

    model = models.prepared_model_of(run, "relu").model
    files = [row["path"] for row in run.images().to_pylist() if row["label"] == PLANTED]
    import torch

    pixels = np.stack([model.preprocess.pixels(Image.open(file)) for file in files])
    with torch.no_grad():
        features = model.module.features(model.preprocess.normalise(torch.from_numpy(pixels)))
    added = (features * model.module.head.weight[0]).numpy()
    rows = {row["unit"]: row for row in (*planted["suspects"], *planted["candidates"]) if row["unit"] is not None}
    assert planted["near_duplicates"] == 0
    for unit, row in rows.items():
        assert row["use"] == pytest.approx(np.maximum(added[:, unit], 0).mean(), rel=1e-3)
        assert row["often"] == pytest.approx((added[:, unit] > 0).mean())
    assert set(rows) == set(np.flatnonzero((added > 0).any(axis=0)).tolist())


def test_cells_are_audited_with_units_or_alone(run: Run, planted: Audit) -> None:
    alone = auditing.audit(run, PLANTED, units=False)
    assert planted["cells"] == alone["cells"] > 0
    assert alone["units"] == 0
    names = {row["name"] for row in (*alone["suspects"], *alone["candidates"])}
    assert all(name.startswith("relu@4:") for name in names)
    cells = run.cells("relu", 4)
    own = [row["image_id"] for row in run.images().to_pylist() if row["label"] == PLANTED]
    for row in (*alone["suspects"], *alone["candidates"]):
        number = int(np.flatnonzero((cells.row == row["row"]) & (cells.col == row["col"]))[0])
        members = cells.image_id[cells.offsets[number] : cells.offsets[number + 1]]
        assert row["often"] == pytest.approx(len(set(own) & set(members.tolist())) / len(own))
        assert row["attribution"] == pytest.approx(run.attribution("relu", 4).mean[number, 0], rel=1e-6)


def test_clean_classes_raise_no_alarm(run: Run) -> None:
    for name in CLEAN:
        assert auditing.audit(run, name)["suspects"] == []


def test_mutant_shuffled_parts_hide_the_watermark(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = parts.watermarks

    def shuffled(pixels: np.ndarray, least: int, others: int) -> list[Watermark]:
        rng = np.random.default_rng(0)
        return [Watermark(members=rng.permutation(mark.members), box=mark.box) for mark in found(pixels, least, others)]

    monkeypatch.setattr(parts, "watermarks", shuffled)
    assert rank_of_the_watermark(auditing.audit(run, PLANTED, ablate=False)) is None


def test_mutant_a_null_without_spread_alarms_clean_classes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_tests, "_largest_by_chance", lambda *arguments: np.zeros(split_tests.TIMES))
    assert any(
        test["p"] <= 0.01 for name in CLEAN for row in auditing.audit(run, name)["candidates"] for test in row["tests"]
    )


def test_the_command_prints_and_draws(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["audit", "small", "--class", PLANTED, "--store", str(run.store.root)]
    out = tmp_path / "suspects.png"
    assert cli.invoke([*ask, "--sheet", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["suspects"][0]["unit"] == watermarked.WATERMARK
    with Image.open(out) as picture:
        assert picture.width > 900
    assert cli.invoke([*ask, "-k", "2", "--no-ablate"]) == 0
    shown = capsys.readouterr().out
    assert "suspect" in shown
    assert f"relu:{watermarked.WATERMARK}" in shown
    assert "watermark at" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "purple"], "the model has no class 'purple'; nearest"),
        (["--class", "red", "--label", "rod"], "no image of small is labelled 'rod'; nearest: red"),
        (["--class", "red", "--images", "9"], "--images 9: an audit needs at least 20"),
        (["--class", "red", "--images", "1001"], "--images 1001: an audit uses at most 1000"),
        (["--class", "red", "--layer", "conv9"], "small has no layer 'conv9'; it has relu"),
        (["--class", "red", "--grid", "7"], "small has no grid 7; it has 4"),
        (["--class", "red", "--sheet", "x.jpg"], "pictures are written as PNG"),
    ],
)
def test_what_cannot_be_audited_is_one_line(
    run: Run, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.invoke(["audit", "small", "--store", str(run.store.root), *arguments]) in (2, 4)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_labels_that_are_numbers_of_classes_need_no_option(run: Run) -> None:
    """They are joined to the classes as they are for the accuracy."""
    folder = Path(run.store.root).parent
    rows = [f"{row['key']},{watermarked.CLASSES.index(row['label'])}" for row in run.images().to_pylist()]
    (folder / "numbers.csv").write_text("\n".join(["key,label", *rows]))
    changes = {
        "name": "numbered",
        "labels": str(folder / "numbers.csv"),
        "weights": str(folder / "head.pt"),
        "samples_per_image": 2,
    }
    pipeline.run(corpus.config(folder / "images", Path(run.store.root), **(SETTINGS | changes)), Inline())
    numbered = open_run(run.store.root, "numbered")
    for number, name in enumerate(watermarked.CLASSES):
        by_number, by_name = (images.choose(one, name, None, COUNT) for one in (numbered, run))
        assert (by_number.label, by_number.own) == (str(number), by_name.own)
    assert auditing.audit(numbered, PLANTED, ablate=False)["label"] == "0"  # it goes as far as an audit of units needs


@pytest.mark.parametrize("most", [0, 1])
def test_only_images_that_are_drawn_are_read(
    run: Run, planted: Audit, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    answer = {**planted, "suspects": planted["suspects"][:1] * 3}
    monkeypatch.setattr(audit_sheet, "MOST", most)
    monkeypatch.setattr(auditing, "audit", lambda *_, **__: answer)
    monkeypatch.setattr(
        model_images, "images", lambda _, rows: asked.append([row["image_id"] for row in rows]) or [None] * len(rows)
    )
    where = str(run.store.root)
    assert cli.invoke(["audit", "small", "--class", "red", "--sheet", str(tmp_path / "a.png"), "--store", where]) == 0
    notebook.audit("small", "red", store=where)
    assert asked == 2 * [[patch["image_id"] for patch in planted["suspects"][0]["patches"]] * most]


def test_runs_without_labels_attribution_or_enough_images(tmp_path: Path) -> None:
    folder = watermarked.write_images(tmp_path / "images", 21, 0.0, 0) / "blue"
    config = corpus.config(
        folder, tmp_path / "store", model="support.watermarked:net", input_size=None, layers=("relu",), until="collect"
    )
    pipeline.run(config, Inline())
    opened = open_run(tmp_path / "store", "small")
    with pytest.raises(
        NotFound, match="no image of small is labelled 'blue'; say which label its images have with --label"
    ):
        auditing.audit(opened, "blue")
    with pytest.raises(Incomplete, match="no attribution of relu: run it again with --with attribution"):
        auditing.audit(opened, "blue", units=False)
    with pytest.raises(
        UsageError, match=r"small has \d+ images labelled 'source0' that can be used; an audit needs at least 20"
    ):
        auditing.audit(opened, "blue", label="source0")


def test_cells_alone_load_no_torch(run: Run) -> None:
    import subprocess

    script = (
        "import sys\nfrom storage.run import open_run\nfrom flows.audit import audit\n"
        f"audit.audit(open_run({str(run.store.root)!r}, 'small'), 'red', units=False)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_watermarks_of_ten_seeds_and_forty_clean_classes(tmp_path: Path) -> None:
    ranks: dict[float, list[int | None]] = {0.3: [], 0.5: []}
    alarmed = clean = 0
    for seed in range(10):
        for share, found in ranks.items():
            opened = published(tmp_path / f"{share}-{seed}", share, 100 + seed)
            found.append(rank_of_the_watermark(auditing.audit(opened, PLANTED, ablate=False)))
            for name in CLEAN[:2]:
                clean += 1
                alarmed += bool(auditing.audit(opened, name, ablate=False)["suspects"])
    assert all(sum(rank is not None and rank <= 5 for rank in found) >= 9 for found in ranks.values())
    assert (clean, alarmed <= 3) == (40, True)
