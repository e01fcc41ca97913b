"""Pictures and explanations from Python are those of the commands of the same names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import tiny

from flows import cli, notebook
from flows.pipeline import model_updates
from flows.scheduling import serve
from storage.errors import UsageError
from storage.models import Model, Preprocess, load

SPEC, LAYER, LATER = "support.tiny:factory", "2", "4"
PREPROCESS = Preprocess(resize=32, crop=(32, 32))
Command = Callable[..., tuple[np.ndarray, dict[str, Any]]]


def factory() -> Model:
    return Model(module=tiny.net(), preprocess=PREPROCESS, classes=("one", "two", "three", "four"))


@pytest.fixture(autouse=True)
def spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "factory", factory, raising=False)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    place = tmp_path / "waves.png"
    y, x = np.mgrid[:48, :64]
    pattern = (np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], 2) * 100 + 128).astype(np.uint8)
    Image.fromarray(pattern).save(place)
    return str(place)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command with the tiny model; return its picture `h w 3` and its JSON."""

    def run(*arguments: str) -> tuple[np.ndarray, dict[str, Any]]:
        out = tmp_path / "out.png"
        code = cli.invoke([*arguments, "--model", SPEC, "--out", str(out), "--json"])
        printed, errors = capsys.readouterr()
        assert code == 0, errors
        return np.asarray(Image.open(out).convert("RGB")), json.loads(printed)

    return run


def equal(picture: notebook.Picture, answer: tuple[np.ndarray, dict[str, Any]], *names: str) -> bool:
    """Tell whether a picture and the named numbers behind it are a command's."""
    pixels, numbers = answer
    return np.array_equal(picture.pixels, pixels) and {n: picture.answer[n] for n in names} == {
        n: numbers[n] for n in names
    }


def test_show_draws_what_the_command_draws(command: Command) -> None:
    arguments = ("show", "2:1", "2:2", "--steps", "4", "--size", "32", "--recipe", "fast", "--seed", "3")
    shown = notebook.show(["2:1", "2:2"], model=load(SPEC), steps=4, size=32, recipe="fast", seed=3)
    assert equal(shown, command(*arguments), "pictures", "seed")
    assert repr(shown).startswith("<pictures of 2:1, 2:2, ")


def test_mutant_another_seed_draws_another_picture(command: Command) -> None:
    arguments = ("show", "2:1", "--steps", "4", "--size", "32", "--recipe", "fast", "--seed", "3")
    assert not equal(notebook.show("2:1", model=SPEC, steps=4, size=(32, 32), recipe="fast"), command(*arguments))


def test_dream_is_that_of_the_command(command: Command, photo: str) -> None:
    arguments = ("dream", photo, "2:1", "--iterations", "1", "--octaves", "1", "--view", "sheet", "--size", "40")
    dreamed = notebook.dream(photo, "2:1", model=SPEC, sheet=True, iterations=1, octaves=1, size=40)
    assert equal(dreamed, command(*arguments), "value", "target")
    assert notebook.dream(Path(photo), "2:1", model=SPEC, iterations=1, octaves=1).pixels.shape == (48, 64, 3)


def test_saliency_is_that_of_the_command(command: Command, photo: str) -> None:
    arguments = ("saliency", photo, "class:two", "--method", "smoothgrad", "--samples", "3", "--view", "heat")
    heat = notebook.saliency(photo, "class:two", model=SPEC, method="smoothgrad", samples=3, view="heat")
    assert equal(heat, command(*arguments), "score", "target", "parameters", "choices")


def test_explain_is_that_of_the_command(command: Command, photo: str) -> None:
    arguments = ("explain", photo, "--layer", LAYER, "--class", "two", "--versus", "three", "--icons", "none")
    explained = notebook.explain(photo, LAYER, target="two", versus="three", model=SPEC, icons="none")
    assert equal(explained, command(*arguments), "target", "versus", "parameters", "choices")


def test_a_run_and_a_model_are_one_too_many(photo: str) -> None:
    with pytest.raises(UsageError, match=r"run photos has its own model; leave the model support\.tiny:factory out"):
        notebook.saliency(photo, run="photos", model=load(SPEC))
    with pytest.raises(UsageError, match="--size 8"):
        notebook.show("2:1", model=SPEC, size=8)


def test_an_announcement_carries_the_file_and_its_fingerprint(monkeypatch: pytest.MonkeyPatch, photo: str) -> None:
    sent: list[model_updates.Update] = []
    monkeypatch.setattr(serve, "announce", lambda update, store: sent.append(update) or ["regenerate/photos"])
    assert notebook.announce("photos", Path(photo)) == ["regenerate/photos"]
    assert [(update.name, update.weights) for update in sent] == [("photos", photo)]
    assert sent[0].sha256 == model_updates.fingerprint(Path(photo))
