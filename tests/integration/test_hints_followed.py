"""What a message says would help does: each kind of message is provoked, and what it names is done as it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image
from support import corpus, hints

from flows import cli, launch
from flows.commands.shared import arguments
from flows.one_image import explain
from storage.models import specs

OWN = "--model support.corpus:net"
NET = f"{OWN} --input-size 32"
RUN = "--run small --store STORE"
IMAGE, OUT = "photo.png", "--out o.png --steps 1"

ADDED = {
    f"show class:cat {NET} {OUT}": "--classes classes.txt",
    f"show class:1 {OWN} {OUT}": "--input-size 32 --mean 0.5,0.5,0.5 --std 0.2,0.2,0.2",
    "layers support.corpus:net --no-reach": "--input-size 32 --mean 0.5,0.5,0.5 --std 0.2,0.2,0.2",
    f"show conv:1 --model support.hinted_models:dropping --input-size 32 {OUT}": "--allow-varying",
    f"show features.2:1 {NET}": f"{OUT}",
    f"explain {IMAGE} {NET} --layer features.2 --icons atlas --json": "--icons drawn",
    f"saliency {IMAGE} features.5:1 {NET} --out o.png --method grad-cam": "--layer features.2",
    f"run --images IMAGES {NET} --engine inline --dry-run": "--layers features.2",
    f"run --images IMAGES {NET} --layers features.2 --table t.csv --dry-run --store STORE": "--where bytes>0",
    "run --of small --where norm>0 --store STORE --dry-run": "--name part",
    "top small features.5:3 --gradients gradient --store STORE": "--sheet o.png",
}
"""Commands that are refused, and what their messages say to add."""

INSTEAD = {
    f"show class:cat {RUN} {OUT}": f"show class:1 {RUN} {OUT}",
    "top small features.5:3 --where label='noise' --store STORE": "run --config run.toml --keep peaks --dry-run",
    "influence small features.2:1 --store STORE": "run --config run.toml --with influence --dry-run",
    f"dream {IMAGE} features.2:1 --guide {IMAGE} {NET} --out o.png": f"dream {IMAGE} features.2 --guide {IMAGE} {NET} "
    "--out o.png --steps 1 --octaves 1",
}
"""Commands that are refused, and those that their messages speak of."""

PRINTED = (
    f"show none:1 {NET} {OUT}",
    f"show none:1 {RUN} {OUT}",
    f"layers {NET.removeprefix('--model ')} --axes none=bchw --no-reach",
    f"run --images IMAGES {NET}",
    f"run --images IMAGES {NET} --layers none --engine inline",
    "runs show small@x --store STORE",
)
"""Commands whose messages print another, which is run as it stands there."""

WITHOUT_OPTION = {
    "ablate gone features.5:3 --store STORE": "put them there again, or run gone again",
    "show features.5:3 --run gone --store STORE --out o.png": "put them there again, or run gone again",
    "audit small --class cat --store STORE": "give an index",
    f"show a:1 {NET} --weights none.pt --out o.png": "--weights takes a file; of a named model, random",
    "run --config patches.toml --images IMAGES": "patches_per_image of --config is -1",
}
"""Commands that some option of another command would help, and what is said instead."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with a run, and another one whose weights are gone."""
    folder = tmp_path_factory.mktemp("hints")
    images = corpus.write_images(folder / "images", 24)
    launch.run(corpus.config(images, folder / "store", until="patches"), engine="inline")
    torch.save(corpus.net().state_dict(), weights := folder / "gone.pt")
    gone = corpus.config(images, folder / "store", name="gone", weights=str(weights), until="patches")
    launch.run(gone, engine="inline")
    weights.unlink()
    return folder / "store"


def _nothing(*_: object, **__: object) -> dict[str, object]:
    """Stand for what takes long: that it was reached means that the command was accepted."""
    raise typer.Exit


Say = Callable[[str], tuple[int, str]]


@pytest.fixture
def say(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs a command in a folder with what the commands name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "estimate", _nothing)
    monkeypatch.setattr(explain, "_view", _nothing)
    images = str(store.parent / "images")
    model = 'model = "support.corpus:net"\ninput_size = 32\n'
    Path("run.toml").write_text(
        f'{model}images = "{images}"\nstore = "{store}"\nlayers = ["features.2", "features.5"]\n'
    )
    Path("patches.toml").write_text("patches_per_image = -1\n")
    Path("classes.txt").write_text("cat\ndog\nfox\ncow\n")
    Path("t.csv").write_text("key,other\na,1\n")
    Image.effect_noise((40, 40), 60).convert("RGB").save(IMAGE)

    def run(command: str) -> tuple[int, str]:
        words = [word.replace("STORE", str(store)).replace("IMAGES", images) for word in shlex.split(command)]
        code = cli.invoke(words)
        return code, capsys.readouterr().err

    return run


def refused(say: Say, command: str) -> str:
    """Return the message of a command that is refused, with no option that the command lacks."""
    code, said = say(command)
    assert code, command
    message = said.splitlines()[-1]
    name = next(name for name in hints.COMMANDS if command.split()[: len(name.split())] == name.split())
    assert not (strays := hints.stray_options(message, name)), f"{strays} in {message}"
    return message


@pytest.mark.parametrize("command", ADDED)
def test_what_a_message_says_to_add_is_accepted(command: str, say: Say) -> None:
    message = refused(say, command)
    named = set(hints.OPTION.findall(ADDED[command])) - {"--steps"}
    assert named <= set(hints.OPTION.findall(message)), message
    code, said = say(f"{command} {ADDED[command]}")
    assert code == 0, said


@pytest.mark.parametrize("command", INSTEAD)
def test_what_a_message_says_to_do_instead_is_accepted(command: str, say: Say) -> None:
    refused(say, command)
    code, said = say(INSTEAD[command])
    assert code == 0, said


@pytest.mark.parametrize("command", PRINTED)
def test_a_command_that_a_message_prints_is_accepted(command: str, say: Say) -> None:
    [printed] = re.findall("`actlas ([^`]+)`", refused(say, command))
    code, said = say(printed)
    assert code == 0, said


@pytest.mark.parametrize("command", WITHOUT_OPTION)
def test_a_message_names_no_option_that_is_refused_there(command: str, say: Say) -> None:
    assert WITHOUT_OPTION[command] in refused(say, command)


def test_axes_are_proposed_as_they_are_accepted(say: Say) -> None:
    tokens = "layers support.hinted_models:tokens --input-size 32 --no-reach"
    _, said = say(tokens)
    [proposed] = re.findall(r"as in (--axes \S+)", said)
    code, said = say(f"{tokens} {proposed}")
    assert (code, "not listed" in said) == (0, False), said


def test_scores_of_a_run_are_not_offered_for_choice(say: Say) -> None:
    two = f"--model support.hinted_models:two --input-size 32 {OUT}"
    assert "--logits NAME takes another" in say(f"show class:1 {two}")[1]
    code, said = say(f"show class:1 {two} --logits 0")
    assert (code, "as --logits says" in said) == (0, True), said
    made = (
        "run --images IMAGES --model support.hinted_models:two --input-size 32 --layers conv --until patches --name two"
    )
    assert say(f"{made} --engine inline --store STORE")[0] == 0
    code, said = say(f"show class:1 --run two --store STORE {OUT}")
    assert (code, "class scores: " in said, "--logits" in said) == (0, True, False), said


def test_mutant_a_listing_without_the_options_of_the_model(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "listing", lambda spec, weights, size: f"actlas layers {spec}")
    with pytest.raises(AssertionError, match="does not declare its input"):
        test_a_command_that_a_message_prints_is_accepted(PRINTED[0], say)


def test_mutant_an_option_that_the_command_lacks(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "with_settings", lambda text, options: text)
    with pytest.raises(AssertionError, match="--patches-per-image"):
        refused(say, "run --config patches.toml --images IMAGES")
