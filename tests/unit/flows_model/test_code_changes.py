"""Changes of code, many of them: none is missed where code counts, few where outputs alone do, harmless ones change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from support import harmless, mutating

from storage.images.decode import decode
from storage.images.samples import sample_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    folder = sample_photos(tmp_path_factory.mktemp("photos"))
    return [decode(path.read_bytes()) for path in sorted(folder.rglob("*.*")) if path.is_file()][:500]


def missed(trials: list[mutating.Trial]) -> list[str]:
    return [f"{t.mutant.file}:{t.mutant.line} {t.mutant.change} {sorted(t.missed)}" for t in trials if t.missed]


@pytest.mark.sweep
def test_a_few_mutants(tmp_path: Path) -> None:
    with Image.open(harmless.PHOTO) as photo:
        few = [photo.convert("RGB").rotate(angle) for angle in (0, 30, 60)]
    trials = list(mutating.sweep(tmp_path, few, 12))
    assert not [trial.mutant for trial in trials if trial.stale]
    assert missed(trials) == []
    assert sum(bool(trial.changed) for trial in trials) >= 8
    assert any(trial.by_trace for trial in trials)  # the mutant of this test: fingerprints of format 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_mutants(tmp_path: Path, photos: list[Image.Image]) -> None:
    trials = list(mutating.sweep(tmp_path, photos, 200))
    effective = [trial for trial in trials if trial.changed]
    print(f"{len(trials)} mutants, {len(effective)} change an output; missed: {missed(trials)}")
    assert len(trials) == 200
    assert not [trial.mutant for trial in trials if trial.stale]
    assert len(missed(trials)) <= 0.05 * len(effective)


@pytest.mark.sweep
def test_a_few_harmless_changes(tmp_path: Path) -> None:
    assert harmless.recomputed(tmp_path, 3) == []


def test_mutant_a_change_that_does_harm_is_seen(tmp_path: Path) -> None:
    harm = {"harm": lambda text: text.replace("x = x + inputs", "x = x + 2 * inputs")}
    assert harmless.recomputed(tmp_path, 1, kinds=harm) == ["harm 0"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sixty_harmless_changes(tmp_path: Path) -> None:
    assert harmless.recomputed(tmp_path, 60) == []
