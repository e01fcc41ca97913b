"""Ablation of units: planted paths, a factor of 1, a hook by hand, the slope of attribution, and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import corpus, planted_paths
from torch import nn

from atlas.arrays import Layer
from atlas.model import activations, editing
from flows import cli
from flows.ablation import ablate
from flows.ablation.ways import parse
from flows.model import published
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.errors import NotFound, UsageError
from storage.run import Run, open_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = corpus.write_images(tmp_path_factory.mktemp("images"), 24)
    (images / "stripes" / "0000.png").write_bytes(b"broken")
    folder = tmp_path_factory.mktemp("store")
    for name in ("paths", "shortcut", "attentive"):
        model = f"support.planted_paths:{name}"
        changes: dict[str, Any] = {
            "name": name,
            "model": model,
            "layers": ("layer",),
            "until": "collect",
            "max_rejected": 1,
        }
        pipeline.run(corpus.config(images, folder, **changes), Inline())
    return folder


@pytest.fixture
def run(store: Path) -> Run:
    return open_run(store, "paths")


def scores(run: Run, factors: dict[int, float]) -> np.ndarray:
    """Return the scores `b k` of the run's images, calculated without any hook, with units scaled by these factors."""
    model = published.prepared_model_of(run, "layer")
    net = model.model.module
    factor = torch.ones(planted_paths.UNITS)
    for unit, value in factors.items():
        factor[unit] = value
    rows, pixels = run.images().to_pylist(), []
    for row in rows:
        if row["reason"] is None:
            from storage.images.decode import decode

            pixels.append(model.model.preprocess.pixels(decode(Path(row["path"]).read_bytes())))
    x = model.model.preprocess.normalise(torch.from_numpy(np.stack(pixels)))
    with torch.no_grad():
        activation = net.relu(net.conv(x)) * factor[:, None, None]
        return (activation.mean((2, 3)) * torch.arange(1, planted_paths.UNITS + 1)).double().numpy()


def test_a_planted_path_takes_its_class_alone(run: Run) -> None:
    for unit in range(planted_paths.UNITS):
        answer = ablate.ablate(run, "layer", [unit])
        assert [row["index"] for row in answer["falls"]] == [unit]
        assert answer["rises"] == []
        change = scores(run, {unit: 0})[:, unit] - scores(run, {})[:, unit]
        assert answer["falls"][0]["change"] == pytest.approx(change.mean(), abs=1e-5)
        assert answer["falls"][0]["error"] == pytest.approx(change.std(ddof=1) / math.sqrt(len(change)), abs=1e-5)


def test_flips_are_those_of_the_scores(run: Run) -> None:
    before, after = scores(run, {}), scores(run, {5: 0, 4: 0})
    answer = ablate.ablate(run, "layer", [5, 4])
    flips = before.argmax(1) != after.argmax(1)
    assert answer["images"] == len(flips) == 23
    assert answer["flips"] == flips.sum() == len(answer["flipped"]) > 0
    assert sum(row["flips"] for row in answer["labels"]) == answer["flips"]
    assert sum(row["images"] for row in answer["labels"]) == answer["images"]


def test_a_factor_of_one_changes_no_bit(run: Run) -> None:
    answer = ablate.ablate(run, "layer", [0, 3], by="scale=1")
    assert (answer["flips"], answer["falls"], answer["rises"]) == (0, [], [])


def test_attention_and_a_changed_input_count_for_nothing(store: Path) -> None:
    """The passes share kernels and input: a model that changes its input in place gets a copy each time."""
    answer = ablate.ablate(open_run(store, "attentive"), "layer", [0, 3], by="scale=1")
    assert (answer["flips"], answer["falls"], answer["rises"]) == (0, [], [])
    assert ablate.ablate(open_run(store, "attentive"), "layer", [0, 3])["falls"]


def test_mutant_passes_that_share_their_input_are_seen(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "clone", lambda tensor: tensor)
    with pytest.raises(AssertionError):
        test_attention_and_a_changed_input_count_for_nothing(store)


def test_class_tokens_are_changed_but_by_the_mean() -> None:
    layer, raw = Layer(name="x", axes="btc", units=3, height=2, width=2, prefix=1), torch.rand(2, 5, 3)
    for edit, token in (
        (editing.scale([1], 0), raw[:, 0, 1] * 0),
        (editing.resample([1], torch.tensor([1, 0])), raw[:, 0, 1].flip(0)),
        (editing.constant([1], torch.tensor([7.0])), raw[:, 0, 1]),
    ):
        edit(changed := raw.clone(), layer)
        assert torch.equal(changed[:, 0, 1], token)
        assert torch.equal(changed[..., [0, 2]], raw[..., [0, 2]])
        assert not torch.equal(changed[:, 1:, 1], raw[:, 1:, 1])


def test_scores_that_are_not_finite_are_counted_and_left_out() -> None:
    tally = ablate._Tally(("a", "b"))
    before, after = np.array([[1.0, 2], [3, np.nan], [5, 6]]), np.array([[2.0, 2], [3, 4], [5, np.inf]])
    tally.add([{"image_id": i, "path": "", "label": None} for i in range(3)], before, after)
    assert (tally.whole.images, tally.nonfinite) == (1, 2)
    assert tally.whole.ends(("a", "b"))[1] == [{"index": 0, "name": "a", "change": 1.0, "error": None}]


def test_errors_are_those_of_the_textbook() -> None:
    changes, values = ablate.Changes(2), np.random.default_rng(0).normal(1e6, 1, (50, 2))
    for value in values:
        changes.add(value, flips=False)
    rises = {row["index"]: row for row in changes.ends(())[1]}
    for i in range(2):
        assert rises[i]["change"] == pytest.approx(values[:, i].mean(), rel=1e-12)
        assert rises[i]["error"] == pytest.approx(values[:, i].std(ddof=1) / math.sqrt(50), rel=1e-6)


def test_a_small_step_is_the_slope_of_attribution(run: Run) -> None:
    model = published.prepared_model_of(run, "layer")
    module, layer = model.module_exposing(["layer"]), model.layers["layer"]
    x = torch.rand(4, 3, 32, 32)
    kept: list[torch.Tensor] = []
    with activations.recording(module, {"layer": layer}, lambda name, a: kept.append(a), clone=False) as passed:
        score = passed(x.requires_grad_())[:, 2].sum()
    (gradient,) = torch.autograd.grad(score, kept[0])
    slope = float((gradient * kept[0].detach())[:, 2].sum())
    step = 1e-2
    with torch.no_grad(), editing.editing(module, layer, editing.scale([2], 1 + step)):
        changed = module(x)[:, 2].sum()
    assert float(changed - score.detach()) / step == pytest.approx(slope, rel=1e-3)


def test_the_mean_and_another_image_keep_the_mean_of_a_path(run: Run) -> None:
    answer = ablate.ablate(run, "layer", [2], by="resample")
    assert all(abs(row["change"]) < 1e-5 for row in (*answer["falls"], *answer["rises"]))
    assert ablate.ablate(run, "layer", [2], by="resample", images=1 + ablate.BATCH)["images"] == 23
    with pytest.raises(UsageError, match="--by resample takes the units of another image, and there is one"):
        ablate.ablate(run, "layer", [2], by="resample", images=1)
    mean = run.samples("layer").activations[:, 2].mean()
    answer = ablate.ablate(run, "layer", [2], by="mean")
    change = (3 * mean - scores(run, {})[:, 2]).mean()
    ends = [*answer["falls"], *answer["rises"]]
    assert ends[0]["change"] == pytest.approx(change, abs=1e-5)


def test_a_shortcut_around_the_layer_keeps_its_own(store: Path) -> None:
    answer = ablate.ablate(open_run(store, "shortcut"), "layer", [1])
    whole = scores(open_run(store, "shortcut"), {})[:, 1].mean()
    assert answer["falls"][0]["change"] == pytest.approx(-whole, abs=1e-5)  # of twice that much


def test_mutant_an_edit_of_the_shared_tensor_is_seen(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "clone", lambda tensor: tensor)
    with pytest.raises(AssertionError):
        test_a_shortcut_around_the_layer_keeps_its_own(store)


class Odd(nn.Module):
    """Calls a module twice, which returns a tuple in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Pair()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.inner(x)["out"][1]
        return self.inner(first)["out"][1].mean((2, 3))


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, tuple[str, torch.Tensor]]:
        return {"out": ("name", x * 2)}


def test_one_call_and_nested_outputs_are_changed() -> None:
    x = torch.rand(2, 3, 4, 4)
    for name, expected in (("inner@0", 0), ("inner@1", 0)):
        layer = Layer(name=name, axes="bchw", units=3, height=4, width=4)
        with editing.editing(module := Odd(), layer, editing.scale([1], 0)):
            changed = module(x)
        assert changed[:, 1].tolist() == [expected] * 2
        assert torch.equal(changed[:, [0, 2]], Odd()(x)[:, [0, 2]])
    with editing.editing(module := Odd(), layer, editing.scale([1], 3)):
        assert torch.allclose(module(x)[:, 1], 3 * Odd()(x)[:, 1])  # once, not for both calls


def test_the_command(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = "label = 'stripes'"
    assert cli.invoke(["ablate", "paths", "layer:5,4", "--store", str(store), "--where", where, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in answer["labels"]] == ["stripes"]
    assert cli.invoke(["ablate", "paths", "layer:5", "--store", str(store), "--images", "5"]) == 0
    shown = capsys.readouterr().out
    assert "5 images" in shown
    assert "falls" in shown


@pytest.mark.parametrize("by", ["half", "scale", "scale=x", "scale=nan", "zero=1", ""])
def test_another_way_is_refused_in_a_line(by: str) -> None:
    with pytest.raises(UsageError, match=r"--by .*: write zero, mean, resample or scale=F"):
        parse(by)


def test_a_unit_that_is_not_there(run: Run) -> None:
    with pytest.raises(NotFound, match="layer has no unit 6; its units are 0 to 5"):
        ablate.ablate(run, "layer", [6])
