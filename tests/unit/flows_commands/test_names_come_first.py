"""Wrong names are refused before torch is loaded, and the lists of names kept for that are the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atlas.inversion.recipes import ICON_RECIPES, PICTURE_RECIPES
from flows.commands.shared import parsing
from flows.drawing import dream, show
from flows.one_image import explain, saliency
from storage.errors import UsageError
from storage.models import specs

WRONG = {
    "saliency nothing.png": "nothing.png: there is no such file",
    "saliency IMAGE --method gradint": "--method gradint is not one of gradient",
    "saliency IMAGE --baseline grey": "--baseline grey is not one of mean, black",
    "saliency IMAGE --view all": "--view all is not one of",
    "saliency IMAGE --model resnet18": "model 'resnet18': write efficientnet-lite0",
    "saliency IMAGE --model ../x:y": "write x:y, and run in .. or with PYTHONPATH=..",
    "saliency IMAGE --model nets/x.py:y": "write x:y, and run in nets or with PYTHONPATH=nets",
    "saliency IMAGE --model x.py:y": "write x:y",
    "saliency IMAGE --weights no.pt": "weights no.pt: no such file",
    "saliency IMAGE --weights no.pt#ema": "weights no.pt: no such file",
    "saliency IMAGE --classes no.txt": "--classes no.txt: there is no such file",
    "saliency IMAGE --run none": "there is no store",
    "saliency IMAGE --axes conv=chw": "--axes conv=chw: axes are one of bchw, bhwc, btc, bc",
    "show a:1 --out o.png --recipe nice": "--recipe nice is not one of",
    "show a:1 --out o.png --penalty l3=1": "--penalty l3=1: write one of tv, l1, l2, blur",
    "explain IMAGE --layer a --icons some": "--icons some is not one of",
    "dream IMAGE --out o.png --view all": "--view all is not one of",
    "layers resnet18": "model 'resnet18': write",
    "layers torchvision:resnet18 --weights no.pt": "weights no.pt: no such file",
    "run --images . --model x/y:z --layers a": "write y:z, and run in x or with PYTHONPATH=x",
    "run --images . --model efficientnet-lite9 --layers a": "known are efficientnet-lite0, ",
    "run --images . --model torchvision:resnet18": "--layers is missing",
    "run --images . --weights no.pt": "weights no.pt: no such file",
    "run --images . --layers a --std nan,1,1": "--std nan,1,1: write numbers with commas",
    "gc --older-than nanh": "--older-than nanh: write a number with s, m, h or d",
    "gc --older-than -5h": "--older-than -5h: write a number with s, m, h or d",
    "run --images . --layers a --axes a=hwc": "axes are one of",
}

SCRIPT = """
import contextlib, io, json, sys
from flows import cli
lines = {}
for words in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        code = cli.invoke(words.split())
    lines[words] = [code, stream.getvalue()]
print(json.dumps({"lines": lines, "torch": "torch" in sys.modules}))
"""


def test_wrong_names_are_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"")
    commands = [words.replace("IMAGE", "image.png") for words in WRONG]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert not answer["torch"]
    for words, (code, text) in zip(WRONG, answer["lines"].values(), strict=True):
        assert code in (1, 2, 4), words
        assert text.count("\n") == 1, words
        assert WRONG[words] in text, text


def test_the_lists_of_names_are_the_real_ones() -> None:
    assert set(parsing.RECIPES) == PICTURE_RECIPES.keys()
    assert set(parsing.ICON_RECIPES) == ICON_RECIPES.keys()
    assert set(parsing.PENALTIES) == show.PENALTIES.keys()
    assert parsing.BASELINES == saliency.BASELINES
    assert parsing.DREAM_VIEWS == dream.VIEWS
    assert parsing.ICON_SOURCES == explain.ICONS


@pytest.mark.parametrize("spec", ["efficientnet-lite0", "torchvision:resnet18", "timm:a.b", "a.b:c", "mine:make"])
def test_a_spec_well_written_is_taken(spec: str) -> None:
    specs.check_spec(spec)


@pytest.mark.parametrize("spec", ["", ":", "a:", ":b", "a b:c", "/a/b:c", "a-b:c", ".a:b"])
def test_a_spec_badly_written_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="write"):
        specs.check_spec(spec)
