"""What code counts for a model of a user's own. Oracle: files written with a known change."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from torch import nn

from storage.models import Model, load, source_code

FILES = {
    "owned/__init__.py": "",
    "owned/net.py": (
        '"""A model."""\n'
        "from torch import nn\n"
        "from owned.blocks import Block\n"
        "from . import scores as scoring\n\n"
        "class Net(Block):\n"
        '    """Does little."""\n'
        "    def forward(self, x):\n"
        "        # nothing more\n"
        "        return self.conv(x) + 1\n\n"
        "def make():\n"
        "    net = Net()\n"
        "    net.register_forward_hook(scoring.hook)\n"
        "    return net\n"
    ),
    "owned/blocks.py": (
        "from torch import nn\n\n"
        "class Block(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        from owned import late\n"
        "        self.conv = nn.Conv2d(3, late.UNITS, 1)\n"
    ),
    "owned/late.py": "import importlib\nUNITS = 4\nimportlib.import_module('far')\n",
    "owned/scores.py": "def hook(module, args, output):\n    return output * 2\n",
    "far.py": "FAR = 1\n",
    "unrelated.py": "X = 1\n",
}


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return a function that writes the files, with changes, into a new folder, and hashes the model's code."""
    count = iter(range(99))

    def write_and_hash(changes: Mapping[str, Callable[[str], str]], below: str = "") -> str:
        folder = tmp_path / f"{next(count)}" / below
        for name, text in FILES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(changes[name](text) if name in changes else text)
        _forget()
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            return of_own(load("owned.net:make", input_size=8))

    yield write_and_hash
    _forget()


def of_own(model: Model) -> str:
    return source_code.of_own(model.spec, model.module, (model.preprocess, model.logits))


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("owned", "far", "unrelated")]:
        del sys.modules[name]


CODE: dict[str, tuple[str, Callable[[str], str]]] = {
    "forward": ("owned/net.py", lambda text: text.replace("+ 1", "+ 2")),
    "factory": ("owned/net.py", lambda text: text.replace("net = Net()", "net = Net().eval()")),
    "a base in another file": ("owned/blocks.py", lambda text: text.replace("3, late.UNITS, 1)", "3, late.UNITS, 3)")),
    "a hook": ("owned/scores.py", lambda text: text.replace("* 2", "* 3")),
    "a module imported late": ("owned/late.py", lambda text: text.replace("UNITS = 4", "UNITS = 5")),
    "a module imported by its name in a string": ("far.py", lambda text: text.replace("1", "2")),
    "the package": ("owned/__init__.py", lambda text: "import math\n"),
}
SAME: dict[str, tuple[str, Callable[[str], str]]] = {
    "a comment": ("owned/net.py", lambda text: f"# by me\n{text}".replace("nothing more", "much more")),
    "a docstring": (
        "owned/net.py",
        lambda text: text.replace("A model.", "My model.").replace("Does little.", "Does all."),
    ),
    "formatting": ("owned/net.py", lambda text: ast.unparse(ast.parse(text))),
    "blank lines": ("owned/blocks.py", lambda text: text.replace("\n", "\n\n")),
    "another file": ("unrelated.py", lambda text: text.replace("1", "2")),
}


@pytest.mark.parametrize("change", CODE)
def test_code_in_use_counts(change: str, digest: Callable[..., str]) -> None:
    file, edit = CODE[change]
    assert digest({file: edit}) != digest({})


@pytest.mark.parametrize("change", SAME)
def test_what_code_does_not_mean_does_not_count(change: str, digest: Callable[..., str]) -> None:
    file, edit = SAME[change]
    assert digest({file: edit}) == digest({})


def test_the_place_does_not_count_and_an_installed_factory_does(digest: Callable[..., str]) -> None:
    assert digest({}, "elsewhere") == digest({})
    installed = "lib/site-packages"
    assert digest({"owned/late.py": lambda text: text.replace("4", "5")}, installed) != digest({}, installed)
    assert digest({"far.py": lambda text: "FAR = 2\n"}, installed) == digest({}, installed)


def test_mutant_the_factorys_file_alone_misses_the_rest(
    digest: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_code, "_imports", lambda *_: iter(()))
    file, edit = CODE["a module imported late"]
    assert digest({file: edit}) == digest({})


def test_an_edit_of_code_that_runs_counts_when_it_is_imported_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that runs is what was imported, whatever its file holds by now."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    _forget()
    monkeypatch.syspath_prepend(tmp_path)
    before = of_own(load("owned.net:make", input_size=8))
    (tmp_path / "owned" / "net.py").write_text(FILES["owned/net.py"].replace("+ 1", "+ 234"))
    assert of_own(load("owned.net:make", input_size=8)) == before
    _forget()
    assert of_own(load("owned.net:make", input_size=8)) != before
    _forget()


def test_functions_held_by_modules_count() -> None:
    """A function set on a module, in a list or in a closure, is written in the module that is named here."""

    def scale(x: object) -> object:
        return x

    module = nn.Sequential(nn.Conv2d(3, 4, 1))
    plain = source_code._modules_of(module, ())
    assert __name__ not in plain
    for value in (scale, [scale], {"f": scale}, lambda x: scale(x)):
        module[0].function = value
        assert __name__ in source_code._modules_of(module, ())
    del module[0].function
    with module[0].register_forward_hook(lambda *_: None):
        assert __name__ in source_code._modules_of(module, ())


def test_torch_and_this_program_do_not_count() -> None:
    names = {"torch.nn.modules.conv", "storage.models.loading", "json"}
    lines = [line.split()[0] for line in source_code._follow(names, lambda name, file: name in names)]
    assert sorted(lines) == ["json", "torch.nn.modules.conv"]
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    nothing = source_code._hash([])
    assert source_code.of_own("missing_module:make", model, ()) == nothing
    assert source_code.of_classes(model, ()) != nothing
