"""User code at the border: variants of one net that torch allows, right or to be refused in one line."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from storage.models import Model
from support.odd_models import SIDE, Net, model


class Forward(Net):
    """The plain net with a forward of its own."""

    def __init__(self, forward: Callable[[Net, Tensor], Any]) -> None:
        super().__init__()
        self.own = forward

    def forward(self, x: Tensor) -> Any:
        return self.own(self, x)


class Between(Net):
    """The plain net with something between its two convolutions."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def between(self, x: Tensor) -> Tensor:
        return self.change(x)


def finish(net: Net, x: Tensor) -> Tensor:
    """Return the plain net's scores."""
    return Net.forward(net, x)


class StaysInTraining(Net):
    def train(self, mode: bool = True) -> Net:
        return super().train(True)


class EvalReturnsNothing(Net):
    def eval(self) -> None:  # type: ignore[override]
        super().eval()


class CalledAgain(Net):
    """Calls a part a second time on some images, and forgets what comes out."""

    def __init__(self, again: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.again = again

    def forward(self, x: Tensor) -> Any:
        if self.again(x):
            self.conv2(self.conv1(x))
        return super().forward(x)


class Exiting(Net):
    """Leaves early where the image is black."""

    def features(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).repeat(1, 4) if bool((x.flatten(1).amax(1) < -1).any()) else super().features(x)


class Aside(Net):
    """Its second convolution gives something else, which is not used."""

    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.used, self.form = self.conv2, form
        self.conv2 = Formed(form)  # type: ignore[assignment]

    def features(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        self.conv2(x)
        return self.used(x).mean((2, 3))


class Formed(nn.Module):
    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        return self.form(x)


class Strange(BaseException):
    """No Exception, so that most code does not catch it."""


class FrozenFeatures(Net):
    def features(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().features(x)


class InferenceFeatures(Net):
    def features(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            return super().features(x)


class AtSign(nn.Module):
    """A layer whose name looks like a call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.d = nn.ModuleDict({"c@2": nn.Conv2d(3, 4, 3), "c": nn.Conv2d(4, 4, 3)})
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.d["c"](self.d["c@2"](x)).mean((2, 3)))


class Aliased(Net):
    """A layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.also = self.conv2


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.again, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.again(self.again(self.first(x))).mean((2, 3)))


class Holder(nn.Module):
    """A net inside another module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


class Sparse(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mix", torch.eye(12).to_sparse())

    def features(self, x: Tensor) -> Tensor:
        mixed: Tensor = torch.sparse.mm(self.mix, super().features(x).T).T
        return mixed


class Locked(Net):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class LateNorm(Net):
    """Makes a part at its first call."""

    def between(self, x: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Identity()
        return self.late(x)


class EvalRaises(Net):
    def eval(self) -> Net:
        raise RuntimeError("always in training")


class Wordless(Exception):
    """Fails when it is asked for its text."""

    def __str__(self) -> str:
        raise ValueError("no text")


class TwoInputs(Net):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x + y)


def strict_about_size(net: Net, x: Tensor) -> Tensor:
    if x.shape[2:] != (SIDE, SIDE):
        raise ValueError(f"pictures of {SIDE} pixels alone")
    return finish(net, x)


def half_default() -> Model:
    torch.set_default_dtype(torch.float64)
    return model(Net())


def elsewhere() -> Model:
    os.chdir("/")
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    torch.set_default_device("cpu")
    return model(Net())


def jit(module: nn.Module) -> nn.Module:
    return torch.jit.trace(module.eval(), torch.zeros(2, 3, SIDE, SIDE))  # type: ignore[no-any-return]


def exported(dynamic: bool) -> nn.Module:
    shapes = ({0: torch.export.Dim.AUTO},) if dynamic else None
    program = torch.export.export(Net().eval(), (torch.zeros(2, 3, SIDE, SIDE),), dynamic_shapes=shapes)
    return program.module()


def self_compiled() -> nn.Module:
    net = Net()
    net.compile(backend="eager")
    return net


def integers() -> nn.Module:
    net = Net()
    net.steps = nn.Parameter(torch.tensor([3]), requires_grad=False)
    return net


def hooked() -> nn.Module:
    net = Net()
    net.conv2.register_forward_hook(lambda module, args, output: output * 1)
    return net


def varying_count(net: Net, x: Tensor) -> list[dict[str, Tensor]]:
    scores = finish(net, x)
    return [{"boxes": row[row > 0][:, None], "keep": row > 0} for row in scores]


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(Net().eval(), {nn.Linear}, dtype=torch.qint8)


def leave() -> Model:
    sys.exit(3)


def wordy() -> Model:
    raise RuntimeError("the first line\nof three\nlines")


def needs(argument: int) -> Model:
    return model(Net())


RIGHT: dict[str, tuple[Callable[[], Any], str]] = {
    "plain": (lambda: model(Net()), "conv2"),
    "half": (lambda: model(Net().half()), "conv2"),
    "double": (lambda: model(Net().double()), "conv2"),
    "double by default": (half_default, "conv2"),
    "in training": (lambda: model(Net().train()), "conv2"),
    "stays in training": (lambda: model(StaysInTraining()), "conv2"),
    "eval returns nothing": (lambda: model(EvalReturnsNothing()), "conv2"),
    "compiled": (lambda: model(torch.compile(Net(), backend="eager")), "_orig_mod.conv2"),
    "compiled inside": (lambda: model(Holder(torch.compile(Net(), backend="eager"))), "inner._orig_mod.conv2"),
    "compiled in place": (lambda: model(self_compiled()), "conv2"),
    "parallel": (lambda: model(nn.DataParallel(Net())), "module.conv2"),
    "frozen": (lambda: model(FrozenFeatures()), "conv2"),
    "in inference mode": (lambda: model(InferenceFeatures()), "conv2"),
    "detached": (lambda: model(Between(lambda x: x.detach())), "conv2"),
    "through numpy": (lambda: model(Between(lambda x: torch.from_numpy(x.detach().numpy() + 1))), "conv2"),
    "through numpy, attached": (lambda: model(Between(lambda x: torch.from_numpy(x.numpy() + 1))), "conv2"),
    "rounded": (lambda: model(Between(lambda x: x + x.round())), "conv2"),
    "without derivative": (
        lambda: model(Between(lambda x: x * torch.histc(torch.ones(4), 2)[0] + x.nextafter(x))),
        "conv2",
    ),
    "checkpointed": (lambda: model(Between(lambda x: checkpoint(F.relu, x, use_reentrant=False))), "conv2"),
    "in bfloat16 by autocast": (lambda: model(Forward(lambda n, x: _autocast(n, x))), "conv2"),
    "named c@2": (lambda: model(AtSign()), "d.c@2"),
    "beside c@2": (lambda: model(AtSign()), "d.c"),
    "aliased": (lambda: model(Aliased()), "conv2"),
    "called twice": (lambda: model(CalledTwice()), "again@1"),
    "of one class": (lambda: model(Forward(lambda n, x: finish(n, x)[:, :1])), "conv2"),
    "nothing returned": (lambda: model(Forward(lambda n, x: _drop(finish(n, x)))), "conv2"),
    "text returned": (lambda: model(Forward(lambda n, x: {"scores": finish(n, x), "text": "cat"})), "conv2"),
    "an output in itself": (lambda: model(Forward(lambda n, x: _in_itself(finish(n, x)))), "conv2"),
    "a mask returned": (lambda: model(Forward(lambda n, x: _masked(finish(n, x)))), "conv2"),
    "nothing found": (
        lambda: model(Forward(lambda n, x: {"logits": finish(n, x), "boxes": x.new_zeros(0, 4)})),
        "conv2",
    ),
    "as many as found": (lambda: model(Forward(varying_count)), "conv2"),
    "sparse constant": (lambda: model(Sparse()), "conv2"),
    "constants made in forward": (lambda: model(Between(lambda x: x + torch.ones(1))), "conv2"),
    "complex": (lambda: model(Between(lambda x: torch.fft.ifft2(torch.fft.fft2(x)).real)), "conv2"),
    "changes its input": (lambda: model(Forward(lambda n, x: finish(n, x.sub_(1)))), "conv2"),
    "strict about size": (lambda: model(Forward(strict_about_size)), "conv2"),
    "hooked": (lambda: model(hooked()), "conv2"),
    "with integers": (lambda: model(integers()), "conv2"),
    "weight norm": (lambda: model(_weight_norm()), "conv2"),
    "another folder and other defaults": (elsewhere, "conv2"),
    "late part": (lambda: model(LateNorm()), "conv2"),
}
"""What runs, and the layer to record."""


def _autocast(net: Net, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return finish(net, x)


def _masked(scores: Tensor) -> dict[str, Tensor]:
    return {"mask": scores > 0, "logits": scores}


def _in_itself(scores: Tensor) -> dict[str, Any]:
    output: dict[str, Any] = {"logits": scores}
    output["self"] = output
    return output


def _drop(scores: Tensor) -> None:
    return None


def _weight_norm() -> nn.Module:
    net = Net()
    nn.utils.parametrizations.weight_norm(net.conv2)
    return net


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "one image at a time": (
        lambda: model(Forward(lambda n, x: finish(n, x) if len(x) == 1 else _fail("one image at a time"))),
        r"its own forward \(Forward\) fails on an input of 2 × 3 × 32 × 32: AssertionError: one image at a time",
    ),
    "two images at a time": (
        lambda: model(Forward(lambda n, x: finish(n, x) if len(x) == 2 else _fail("two"))),
        r"its own forward \(Forward\) fails on an input of 1 × 3 × 32 × 32",
    ),
    "few images at a time": (
        lambda: model(Forward(lambda n, x: finish(n, x) if len(x) < 3 else _fail("two at most"))),
        r"its own forward \(Forward\) fails on an input of [34] × 3 × 32 × 32: AssertionError: two at most",
    ),
    "four channels": (
        lambda: model(Net(4)),
        r"module conv1 \(Conv2d\) fails on an input of 1 × 3 × 32 × 32: RuntimeError",
    ),
    "a wrong size": (
        lambda: model(Between(lambda x: x.view(len(x), 8, 7, 7))),
        r"its own forward \(Between\) fails on an input of 1 × 3 × 32 × 32: RuntimeError: shape",
    ),
    "a double inside": (
        lambda: model(Between(lambda x: x.double())),
        r"module conv2 \(Conv2d\) fails on an input of 1 × 8",
    ),
    "half precision inside": (lambda: model(Between(lambda x: x.half())), r"module conv2 \(Conv2d\) fails on an input"),
    "quantised dynamically": (
        lambda: model(quantised()),
        r"change beside another image, first in module fc \(Linear\): .*range of the whole batch",
    ),
    "leaves in its forward": (
        lambda: model(Between(lambda x: sys.exit(0))),
        r"its own forward \(Between\) fails on an input of 1 × 3 × 32 × 32: SystemExit: 0",
    ),
    "eval raises": (lambda: model(EvalRaises()), "EvalRaises can't be put in evaluation mode .*always in training"),
    "raises without words": (lambda: _raise(Wordless()), r"the factory failed: Wordless: Wordless \(border_models.py"),
    "its own scores fail": (
        lambda: model(Net(), logits=lambda output: output["scores"]),
        "its `logits` fails on its output: [A-Z]",
    ),
    "its own scores are one number": (
        lambda: model(Net(), logits=lambda output: output.sum()),
        r"its `logits` gives a tensor of \(\) for 1 image, not a row of numbers per image",
    ),
    "a function in a Model": (lambda: Model(module=abs), "a Model whose module is a builtin_function_or_method, not"),  # type: ignore[arg-type]
    "two inputs": (lambda: model(TwoInputs()), r"its own forward \(TwoInputs\) fails .*missing 1 required positional"),
    "no forward": (lambda: model(nn.Module()), r"its own forward \(Module\) fails .*NotImplementedError"),
    "traced": (lambda: model(jit(Net())), "it is TorchScript"),
    "traced inside": (lambda: model(Holder(jit(Net()))), "its module inner is TorchScript"),
    "exported for two": (lambda: model(exported(dynamic=False)), r"module _guards_fn .*fails on an input of 1 × 3"),
    "exported": (lambda: model(exported(dynamic=True)), "layer 'conv2'"),
    "without values": (lambda: model(_meta()), r"10|11 of its tensors have no values \(device meta\)"),
    "not initialised": (lambda: model(nn.Sequential(nn.LazyConv2d(4, 3))), "its parameter 0.weight is not initialised"),
    "locked": (lambda: model(Locked()), "cannot pickle"),
    "raises": (
        lambda: _fail("no such file"),
        r"the factory failed: AssertionError: no such file \(border_models.py:\d+\)",
    ),
    "raises in many lines": (wordy, r"the factory failed: RuntimeError: the first line \(border_models.py:\d+\)$"),
    "leaves": (leave, r"the factory calls sys.exit\(3\)"),
    "leaves with many lines": (lambda: sys.exit("one\ntwo\x1b[31m"), r"the factory calls sys.exit\(one two \[31m\)$"),
    "raises what is no Exception": (lambda: _raise(Strange("odd")), r"fails: Strange: odd \(border_models.py:\d+\)"),
    "a sparse layer": (lambda: model(Aside(lambda x: x.to_sparse())), "no tensor of real numbers"),
    "a layer of eight bits": (lambda: model(Aside(lambda x: x.to(torch.float8_e4m3fn))), "no tensor of real numbers"),
    "needs an argument": (needs, "the factory failed: TypeError: .*missing 1 required positional argument"),
    "nothing": (lambda: None, "returned a NoneType, not a torch module or a Model"),
    "a class unmade": (lambda: Net, "returned a type, not a torch module"),
    "a state dict": (lambda: Net().state_dict(), "returned a OrderedDict, not a torch module"),
    "no input size": (Net, "does not declare its input; give --input-size"),
    "too few names": (lambda: model(Net(), classes=("cat", "dog")), "its `classes` are 2 names, and it gives 5 scores"),
    "too many names": (
        lambda: model(Net(), classes=tuple("abcdef")),
        "its `classes` are 6 names, and it gives 5 scores",
    ),
    "too few names of its own scores": (
        lambda: model(Net(), classes=tuple("abcde"), logits=lambda output: output[:, :3]),
        "its `classes` are 5 names, and it gives 3 scores",
    ),
    "two names of one score": (
        lambda: model(Forward(lambda n, x: finish(n, x)[:, :1]), classes=("cat", "dog")),
        "its `classes` are 2 names, and it gives 1 scores",
    ),
    "names in one text": (lambda: model(Net(), classes="abcde"), "its `classes` are a str; give a tuple of names"),
    "names by number": (
        lambda: model(Net(), classes=dict(enumerate("abcde"))),
        "its `classes` are a dict; give a tuple",
    ),
    "names without order": (lambda: model(Net(), classes=set("abcde")), "its `classes` are a set; give a tuple"),
    "a number of names": (lambda: model(Net(), classes=5), "its `classes` are a int; give a tuple of names"),
    "twice if another image is bright": (
        lambda: model(CalledAgain(lambda x: bool((x.flatten(1).mean(1) > 0.8).any()))),
        "is not a function of the image: its values for an image change beside another",
    ),
    "twice for a black image": (
        lambda: model(CalledAgain(lambda x: bool((x.flatten(1).amax(1) < -1).any()))),
        "layer conv2 runs more often for some images than for others; name a layer that runs alike",
    ),
    "not for a black image": (lambda: model(Exiting()), "layer conv2 runs more often for some images than for others"),
    "a function as preprocessing": (
        lambda: Model(module=Net(), preprocess=lambda image: image),
        "its preprocess is a function",
    ),
}
"""What is refused, and the words of the line."""


def _fail(reason: str) -> Any:
    raise AssertionError(reason)


def _raise(error: BaseException) -> Any:
    raise error


def _meta() -> nn.Module:
    with torch.device("meta"):
        return Net()


def __getattr__(name: str) -> Any:
    """Return the factory `right_N` or `refused_N`, the N-th row of its table."""
    table, _, number = name.rpartition("_")
    if table not in ("right", "refused") or not number.isdecimal():
        raise AttributeError(name)
    rows: dict[str, Any] = RIGHT if table == "right" else REFUSED
    return list(rows.values())[int(number)][0]
