"""Record named layers while a model runs, and view their outputs as `b c h w`."""

from __future__ import annotations

import difflib
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model import axes as axis_rules
from atlas.model import tokens
from atlas.model.axes import AmbiguousAxesError
from atlas.model.dispatch import first_tensor, slow_attention
from atlas.model.observe import observe
from atlas.model.trial import ForwardError, shape

__all__ = [
    "AmbiguousAxesError",
    "UnknownLayerError",
    "VaryingLayerError",
    "list_layers",
    "probe",
    "recording",
    "run_to",
    "view",
]

Visit = Callable[[str, Tensor], None]


class UnknownLayerError(LookupError):
    """The model has no such layer, or never runs it."""


class VaryingLayerError(ForwardError):
    """A layer does not give one output of one shape for every image."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"layer {name} {what}; name a layer that runs alike for every image")


class Recordable(Protocol):
    """A module, and the unfolded layers to record in place of those of the same name (see atlas.model.folding)."""

    @property
    def module(self) -> nn.Module: ...
    @property
    def unfolded(self) -> Mapping[str, nn.Module]: ...


def probe(
    module: nn.Module,
    example: Tensor,
    names: Sequence[str] | None = None,
    *,
    axes: Mapping[str, str] | None = None,
) -> dict[str, Layer]:
    """Return the layers named, or all whose axes can be inferred, in the order in which they finish.

    `example` is one input `c h w`; `axes` holds the user's axes by layer (`bchw`, `bhwc`, `btc`, `bc`). A module that
    is called more than once yields `name@0`, `name@1`, … The tokens of one kind are a layer where they are named:
    `name@cls`, `name@reg`, `name@patch`.

    Raises UnknownLayerError with the nearest names, AmbiguousAxesError with the candidates.
    """
    layers = infer_all(module, example, axes, names or ())
    wanted = set(layers if names is None else names)
    for name in wanted if names is not None else ():
        if isinstance(error := layers[name], AmbiguousAxesError):
            raise error
    return {name: layer for name, layer in layers.items() if isinstance(layer, Layer) and name in wanted}


def infer_all(
    module: nn.Module, example: Tensor, axes: Mapping[str, str] | None = None, names: Iterable[str] = ()
) -> dict[str, Layer | AmbiguousAxesError]:
    """Return every layer, and `names` of tokens of one kind, or the error that requesting it raises.

    Raises UnknownLayerError for unknown `names` or axes.
    """
    if module.training:
        raise ValueError("the module is in training mode, where outputs depend on the batch; call .eval() first")
    outputs = observe(module, example)
    known = [output.name for output in outputs]
    by_layer = tokens.by_layer(names, known)
    for name in [*by_layer, *(axes or {})]:
        _check_known(name, known, module)
    layers = axis_rules.infer_layers(outputs, (example.shape[1], example.shape[2]), dict(axes or {}))
    every: dict[str, Layer | AmbiguousAxesError] = {}
    for base, layer in layers.items():
        every[base] = layer
        every |= {name: _of_kind(module, name, layer) for name in by_layer.get(base, ()) if name != base}
    return every


def _of_kind(module: nn.Module, name: str, layer: Layer | AmbiguousAxesError) -> Layer | AmbiguousAxesError:
    """Return a layer's tokens of the kind that `name` ends with. Raises UnknownLayerError where it has none."""
    if isinstance(layer, AmbiguousAxesError):
        return layer
    kinds, kind = tokens.layers_of(module, layer), name.rpartition("@")[2]
    if kind not in kinds:
        has = f"has {', '.join(f'{layer.name}@{one}' for one in kinds)}" if kinds else "has no tokens"
        raise UnknownLayerError(f"layer {layer.name} {has}, and no {name}")
    return kinds[kind]


def list_layers(module: nn.Module, example: Tensor) -> list[Layer]:
    """Return every layer whose axes can be inferred, in the order in which they finish."""
    return list(probe(module, example).values())


def view(raw: Any, layer: Layer) -> Tensor:
    """Return a layer's raw output as `b c h w`, sharing its memory.

    The first tensor of a tuple, list or dict counts. The batch size and, except for tokens, the grid may differ from
    the probe's; a different number of tokens is laid out on a grid of the same proportions.
    """
    tensor = first_tensor(raw)
    if tensor is None:
        raise ValueError(f"layer {layer.name} gave no tensor but {type(raw).__name__}")
    if layer.axes == "bchw":
        return tensor
    if layer.axes == "bhwc":
        return tensor.permute(0, 3, 1, 2)
    if layer.axes == "bc":
        return tensor[:, :, None, None]
    placed = tensor[:, slice(*layer.tokens)]
    height, width = _token_grid(placed.shape[1], layer)
    return placed.view(len(placed), height, width, -1).permute(0, 3, 1, 2)


@contextmanager
def recording(
    target: nn.Module | Recordable,
    layers: Mapping[str, Layer],
    visit: Visit,
    *,
    stop: bool = False,
    clone: bool | None = None,
) -> Iterator[Callable[..., Any]]:
    """Call `visit(name, activation b c h w)` whenever a layer finishes in this block; yield a function to run the model.

    Activations share memory with the model, where a later in-place operation may overwrite them; `clone` passes a copy
    instead. By default those that require gradients are copied, since they are likely to be stored; gradients flow
    through the copy. With `stop` a pass ends after the last layer, and the function returns None.

    Raises VaryingLayerError where a layer does not run once for these images, or not for each of them.
    """
    module, unfolded = (target, {}) if isinstance(target, nn.Module) else (target.module, target.unfolded)
    recorder = _Recorder(layers, visit, stop, clone)

    def run(*args: Any) -> Any:
        try:
            return module(*args)
        except _Stopped:
            return None

    with ExitStack() as stack:
        stack.enter_context(slow_attention())
        for handle in recorder.install(module, unfolded):
            stack.callback(handle.remove)
        try:
            yield run
        except _Stopped:
            return


def run_to(
    target: nn.Module | Recordable,
    x: Tensor,
    layers: Mapping[str, Layer],
    visit: Visit,
    *,
    clone: bool | None = None,
) -> None:
    """Run the model up to the last of `layers`, visiting each; see `recording`."""
    with recording(target, layers, visit, stop=True, clone=clone) as run:
        run(x)


class _Stopped(BaseException):
    """The last wanted layer has finished. A BaseException, so that a model's own `except Exception` misses it."""


class _Recorder:
    """The hooks of one `recording`: counts calls, visits, stops."""

    def __init__(self, layers: Mapping[str, Layer], visit: Visit, stop: bool, clone: bool | None) -> None:
        self.layers, self.visit, self.stop, self.clone = layers, visit, stop, clone
        self.calls: Counter[str] = Counter()
        self.left = set(layers)
        self.images: int | None = None
        self.in_pass = False
        self.named: dict[str, list[str]] = {}
        self.thread = 0

    def install(self, module: nn.Module, unfolded: Mapping[str, nn.Module]) -> Iterator[Any]:
        modules = dict(module.named_modules())
        self.named = tokens.by_layer(self.layers, modules)
        yield module.register_forward_pre_hook(self._begin)
        yield module.register_forward_hook(self._end)
        for base in dict.fromkeys(split_call(name, modules)[0] for name in self.layers):
            if base not in modules:
                raise UnknownLayerError(_unknown(base, list(modules)))
            if base in unfolded:
                yield modules[base].register_forward_pre_hook(self._before(base, unfolded[base]))
            else:
                yield modules[base].register_forward_hook(self._after(base))

    def _begin(self, module: nn.Module, args: Any) -> None:
        self.in_pass = True
        self.thread = threading.get_ident()
        self.calls.clear()
        self.left = set(self.layers)
        x = first_tensor(args)
        self.images = None if x is None else len(x)

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        self.in_pass = False
        if self.left:
            raise VaryingLayerError(min(self.left), "does not run for every image")

    def _before(self, base: str, unfolded: nn.Module) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            self._visit(base, unfolded(*args))

        return hook

    def _after(self, base: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._visit(base, output)

        return hook

    def _visit(self, base: str, output: Any) -> None:
        call = self.calls[base]
        self.calls[base] += 1
        for name in self.named.get(base) or self.named.get(f"{base}@{call}") or []:
            self._visit_as(name, output)
        if self.stop and not self.left and threading.get_ident() == self.thread:  # no other thread would hand it on
            raise _Stopped

    def _visit_as(self, name: str, output: Any) -> None:
        if name not in self.left:
            if self.in_pass:
                raise VaryingLayerError(name, "runs more than once for some images")
            return
        activation = view(output, self.layers[name])
        if self.images is not None and len(activation) != self.images:
            raise VaryingLayerError(name, f"gives {len(activation)} outputs for {self.images} images")
        wants_clone = activation.requires_grad if self.clone is None else self.clone
        self.visit(name, activation.clone() if wants_clone else activation)
        self.left.discard(name)


def check_shape(layer: Layer, activation: Tensor) -> None:
    """Raise VaryingLayerError where an activation `b c h w` has not the shape that the layer had in the probe."""
    if activation.shape[1:] != (layer.units, layer.height, layer.width):
        probed = f"{layer.units} × {layer.height} × {layer.width}"
        raise VaryingLayerError(layer.name, f"gives {shape(activation[0])} for some images, {probed} for others")


def _check_known(name: str, known: list[str], module: nn.Module) -> None:
    if name in known:
        return
    calls = [other for other in known if _base(other) == _base(name)]
    if len(calls) > 1:
        raise UnknownLayerError(f"layer {name!r} is called {len(calls)} times; name one call: {', '.join(calls[:4])}")
    modules = dict(module.named_modules(remove_duplicate=False))
    other = next((path for path, part in modules.items() if part is modules.get(name)), name)
    if other != name:
        raise UnknownLayerError(f"layer {name!r} is {other!r} under another name; write {other}")
    if name in modules:
        raise UnknownLayerError(f"layer {name!r} exists but never runs; nearest that run: {_nearest(name, known)}")
    raise UnknownLayerError(_unknown(name, known))


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"the model has no layer {name!r}; nearest: {_nearest(name, known)}"


def _nearest(name: str, known: Iterable[str]) -> str:
    return ", ".join(difflib.get_close_matches(name, list(known), 3, cutoff=0.0)) or "none"


def split_call(name: str, modules: Container[str] = ()) -> tuple[str, int | None]:
    """Split `layer@call` into the module's name and the number of the call, None if no call is named.

    A kind of tokens at the end is left out. The name of one of the `modules` is whole, even if it ends like a call.
    """
    name, _ = tokens.split_kind(name, modules)
    if name in modules:
        return name, None
    head, _, call = name.rpartition("@")
    return (head, int(call)) if head and call.isdigit() else (name, None)


def _base(name: str) -> str:
    return split_call(name)[0]


def _token_grid(count: int, layer: Layer) -> tuple[int, int]:
    if count == layer.height * layer.width:
        return layer.height, layer.width
    height = round((count * layer.height / layer.width) ** 0.5)
    if height < 1 or count % height:
        raise ValueError(f"layer {layer.name}: {count} tokens make no grid like {layer.height} × {layer.width}")
    return height, count // height
