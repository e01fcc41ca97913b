"""`actlas dream`: what it dreams of, in which size, and what it refuses in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import invoke
from flows.drawing import dream
from storage import models

FACTORY = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d({channels}, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=turned)
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\ndog\nelk\n")
    for channels in (1, 3):
        (tmp_path / f"dreamnet{channels}.py").write_text(FACTORY.format(channels=channels))
    return tmp_path


QUICK = ("--input-size", "24", "--iterations", "1", "--octaves", "2")
Run = Callable[..., dict[str, object]]


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str, channels: int = 3) -> dict[str, object]:
        code = invoke(["dream", *words, "--model", f"dreamnet{channels}:make", *QUICK, "--json"])
        assert code == 0, capsys.readouterr().err
        return dict(json.loads(capsys.readouterr().out))

    return run


def test_the_command_dreams_of_a_photo_the_right_way_up(ask: Run, folder: Path) -> None:
    answer = ask("photo.png", "--out", "dream.png")
    assert answer["size"] == [50, 30]  # turned as its EXIF says
    assert answer["octaves"] == [[36, 21], [50, 30]]
    assert answer["value"]["after"] > answer["value"]["before"]  # type: ignore[index]
    assert Image.open(folder / "dream.png").size == (30, 50)
    again = ask("photo.png", "--out", "again.png")
    assert (folder / "dream.png").read_bytes() == (folder / "again.png").read_bytes()
    assert again["target"] == answer["target"]


def test_the_command_dreams_of_everything(ask: Run, folder: Path) -> None:
    assert ask("photo.png", "2:3")["target"] == "2:3"
    assert ask("photo.png", "class:bee", "--classes", "classes.txt")["target"] == "class:bee"
    assert ask("photo.png", "0", "--guide", "photo.png")["guide"] == "photo.png"
    assert ask("photo.png", "0", "--size", "100")["size"] == [100, 60]
    assert ask("noise", "0", "--size", "20x31")["size"] == [20, 31]
    assert ask("noise", "0")["size"] == [24, 24]
    ask("photo.png", "--out", "grey.png", channels=1)
    grey = np.asarray(Image.open(folder / "grey.png"))
    assert (grey == grey[..., :1]).all()
    ask("photo.png", "--view", "sheet", "--out", "sheet.png")
    assert Image.open(folder / "sheet.png").width > 2 * 256 * 30 / 50


def test_iterations_are_steps_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["dream", "photo.png", "0", "--model", "dreamnet3:make", "--input-size", "24", "--octaves", "1"]
    assert invoke([*asked, "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["iterations"] == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("photo.png",), 2, "--out"),
        (("photo.png", "--view", "film", "--json"), 2, "--view"),
        (("photo.png", "--rate", "0", "--json"), 2, "--rate"),
        (("photo.png", "--octave-scale", "1", "--json"), 2, "--octave-scale"),
        (("photo.png", "--size", "20x30", "--json"), 2, "--size"),
        (("noise", "--size", "axb", "--json"), 2, "--size"),
        (("photo.png", "0:1", "--guide", "photo.png", "--json"), 2, "--guide"),
        (("gone.png", "0", "--json"), 4, "gone.png"),
        (("classes.txt", "0", "--json"), 2, "classes.txt can't be read as an image"),
        (("photo.png", "0:99", "--json"), 4, "no unit 99"),
    ],
)
def test_what_cannot_be_dreamed_is_one_line(
    words: tuple[str, ...], code: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["dream", *words, "--model", "dreamnet3:make", "--input-size", "24"]) == code
    err = capsys.readouterr().err.strip()
    assert said in err
    assert len(err.splitlines()) == 1


def test_noise_is_seeded(folder: Path) -> None:
    look = dream.ModelContext(model=models.load("dreamnet3:make", input_size=24))
    first, again, other = (dream.noise(look, dream.Settings(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (24, 24, 3)
