"""The fidelity that real patches reach equals a plain loop over the samples, in the metric of the icons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import viewing

from flows.metrics import real_fidelity
from storage.artefacts import arrays
from storage.run import Run, open_run

LAYER = "features.5"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(viewing.shared_run(tmp_path_factory)[1], "small")


def plain(run: Run, grid: int, samples: int) -> list[float]:
    """Return the whitened cosine of each of the first samples that is in a cell to that cell's mean."""
    moment = arrays.read_array(run.result("moment", LAYER).file("moment.zarr"), "moment")
    metric = np.linalg.inv(moment + 0.1 * np.trace(moment) / len(moment) * np.eye(len(moment)))
    cells, activations = run.cells(LAYER, grid), run.samples(LAYER).activations.astype(np.float64)
    found = []
    for cell, mean in enumerate(cells.mean.astype(np.float64)):
        for sample in cells.members[cells.offsets[cell] : cells.offsets[cell + 1]]:
            if sample < samples:
                a = activations[sample]
                found.append(a @ metric @ mean / np.sqrt((a @ metric @ a) * (mean @ metric @ mean)))
    return found


@pytest.mark.parametrize("grid", [2, 4])
def test_quantiles_are_those_of_a_plain_loop(run: Run, grid: int) -> None:
    expected = plain(run, grid, real_fidelity.MOST)
    got: Any = real_fidelity.of_grid(run, LAYER, grid)
    assert got["samples"] == len(expected) == run.sample_counts(LAYER)["used"]
    quantiles = [got[name] for name in ("low", "median", "high")]
    np.testing.assert_allclose(quantiles, np.quantile(expected, [0.1, 0.5, 0.9]), atol=1e-5)


def test_only_the_first_samples_are_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_fidelity, "MOST", 7)
    expected = plain(run, 2, 7)
    got = real_fidelity.of_grid(run, LAYER, 2)
    assert got is not None
    assert got["samples"] == len(expected) == 7
    assert got["median"] == pytest.approx(np.median(expected), abs=1e-5)


def test_mutant_the_cosine_to_another_cell_is_another(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = real_fidelity._cells_of
    monkeypatch.setattr(real_fidelity, "_cells_of", lambda *a: {s: (c + 1) % 2 for s, c in real(*a).items()})
    got = real_fidelity.of_grid(run, LAYER, 2)
    assert got is not None
    assert abs(got["median"] - np.median(plain(run, 2, real_fidelity.MOST))) > 1e-3
