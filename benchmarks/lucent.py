"""Pictures per second against lucent's way, at equal size, steps, layer and targets, turn by turn in one process.

    python benchmarks/lucent.py [--of units] [--layer _blocks.10] [--steps 96] [--size 96] [--rounds 3] [--lucent FOLDER]

Of cells' icons, or of units. Ours includes all that a picture needs: of an icon the search for its ground and its proof,
of a unit the first steps with redirected gradients, and what it reaches as it is written in bytes.

lucent's loop, from its published code (version 0.1.8, `optvis/render.py`, `transform.py`, `param/`, `objectives.py`):
the net as it comes, channels first, a hook on every module; Fourier pictures with decorrelated colour, Adam at 0.05;
pad 12, jitter 8 and 4, scale, rotate, drawn once for the batch; normalised, stretched to 224 pixels (what
`render_vis` does below that size), and passed through the whole net; of a direction the cosine at the centre position,
of a unit the mean over its map.
Two ways: one picture at a time, and its batch mode. `--lucent FOLDER` times the package itself too, if unpacked there
(`pip download --no-deps torch-lucent`; it needs decorator, kornia 0.4.1 and IPython). `--fault alone` draws ours one at
a time: its lead must fall.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transfer import MEAN, STD, network

from atlas.arrays import Int, Layer
from atlas.inversion.icons import icons
from atlas.inversion.objectives import channel, peak
from atlas.inversion.parameterisations import colour, fourier, lucid_gain
from atlas.inversion.recipes import ICON_RECIPES, PICTURE_RECIPES
from atlas.inversion.visualise import visualise
from atlas.model.activations import probe
from atlas.model.folding import Folded, fold

PROJECT = 224

Timed = dict[str, tuple[int, Callable[[], object]]]

Score = Callable[[Tensor, Tensor], Tensor]
"""Tells how near maps `b c h w` are to their targets, `b c` directions or `b` units: `b`."""


def at_centre(maps: Tensor, targets: Tensor) -> Tensor:
    """Give the cosine to a direction at the centre position."""
    return F.cosine_similarity(maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2], targets, dim=1)


def all_over(maps: Tensor, targets: Tensor) -> Tensor:
    """Give the mean of a unit over its map."""
    return maps[torch.arange(len(maps)), targets].mean((1, 2))


def lucent_way(net: nn.Module, layer: str, targets: Tensor, score: Score, steps: int, size: int) -> Tensor:
    """Give pictures `b 3 h w` of targets as lucent's render_vis makes them."""
    seen: dict[str, Tensor] = {}
    handles = [m.register_forward_hook(lambda m, i, o, n=n: seen.__setitem__(n, o)) for n, m in net.named_modules()]
    shape = fourier(lucid_gain(size, size), size, size).then(colour, torch.sigmoid)
    numbers = (torch.randn(len(targets), 3, size, size // 2 + 1, 2) * 0.01).requires_grad_()
    optimiser = torch.optim.Adam([numbers], lr=5e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        net(lucent_transforms(shape.picture(numbers)))
        (-score(seen[layer], targets).sum()).backward()
        optimiser.step()
    for handle in handles:
        handle.remove()
    return shape.picture(numbers).detach()


def lucent_transforms(pictures: Tensor) -> Tensor:
    """Move all pictures by one draw, as lucent's standard_transforms, then normalise and stretch."""
    draw = np.random.choice
    moved = F.pad(pictures, [12] * 4, value=0.5)
    moved = _shifted(moved, int(draw(8)), int(draw(8)))
    moved = _scaled(moved, float(draw([1 + (i - 5) / 50 for i in range(11)])))
    moved = _turned(moved, float(draw([*range(-10, 11), *[0] * 5])))
    moved = _shifted(moved, int(draw(4)), int(draw(4)))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return F.interpolate((moved - mean) / std, PROJECT, mode="bilinear", align_corners=True)


def _shifted(pictures: Tensor, x: int, y: int) -> Tensor:
    return _warped(pictures, torch.eye(2), [-2 * x / pictures.shape[3], -2 * y / pictures.shape[2]])


def _scaled(pictures: Tensor, scale: float) -> Tensor:
    sides = [int(np.ceil(scale * side)) for side in pictures.shape[2:]]
    pad = [max(0, int(np.ceil((side - new) / 2))) for side, new in zip(pictures.shape[2:], sides, strict=True)]
    return F.pad(F.interpolate(pictures, sides, mode="bilinear", align_corners=True), [pad[1]] * 2 + [pad[0]] * 2)


def _turned(pictures: Tensor, degrees: float) -> Tensor:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return _warped(pictures, torch.tensor([[c, -s], [s, c]], dtype=torch.float32), [0.0, 0.0])


def _warped(pictures: Tensor, turn: Tensor, shift: Sequence[float]) -> Tensor:
    matrix = torch.cat([turn, torch.tensor(shift)[:, None]], 1).expand(len(pictures), -1, -1)
    return F.grid_sample(
        pictures, F.affine_grid(matrix, list(pictures.shape), align_corners=False), align_corners=False
    )


def lucent_itself(folder: str) -> Callable[[nn.Module, str, Tensor, int, int], None]:
    """Give the package's own render_vis, one picture at a time."""
    sys.path.insert(0, folder)
    from lucent.optvis import param, render  # type: ignore[import-not-found]
    from lucent.optvis.objectives import channel, direction_neuron  # type: ignore[import-not-found]

    def way(net: nn.Module, layer: str, targets: Tensor, steps: int, size: int) -> None:
        name = layer.replace(".", "_")
        for target in targets:
            render.render_vis(
                net,
                direction_neuron(name, target) if target.ndim else channel(name, int(target)),
                lambda: param.image(size),
                thresholds=(steps,),
                progress=False,
                show_image=False,
            )

    return way


def ways(layer: str, targets: Tensor, ours: Callable[[], object], asked: argparse.Namespace) -> Timed:
    """Give every way of drawing by name, with how many it draws."""
    net = network("lite0").to(memory_format=torch.contiguous_format)
    few, score = targets[: asked.theirs], at_centre if targets.ndim == 2 else all_over
    budget = (asked.steps, asked.size)
    timed: Timed = {
        "ours": (len(targets), ours),
        "lucent, one at a time": (
            len(few),
            lambda: [lucent_way(net, layer, target[None], score, *budget) for target in few],
        ),
        "lucent, in a batch": (len(few), lambda: lucent_way(net, layer, few, score, *budget)),
    }
    if asked.lucent:
        package = lucent_itself(asked.lucent)
        timed["lucent itself"] = (len(few), lambda: package(net, layer, few, *budget))
    return timed


def our_icons(layer: str, targets: Tensor, moment: np.ndarray, asked: argparse.Namespace) -> Callable[[], object]:
    """Give our way of drawing icons."""
    folded, found = folded_net(layer)
    recipe = dataclasses.replace(ICON_RECIPES[asked.recipe], steps=asked.steps)
    settings = _common(len(targets), asked) | {"size": asked.size, "recipe": recipe}
    return lambda: icons(folded, found, targets.numpy(), moment, **settings)


def our_units(layer: str, targets: Tensor, asked: argparse.Namespace) -> Callable[[], object]:
    """Give our way of drawing units, as `show` and a run's gallery do it."""
    folded, found = folded_net(layer)
    style = dataclasses.replace(PICTURE_RECIPES[asked.recipe], steps=asked.steps)
    settings = _common(len(targets), asked) | {"size": (asked.size, asked.size), "style": style}

    def units(rows: Int) -> list[int]:
        return [int(unit) for unit in targets[torch.from_numpy(rows)]]

    return lambda: visualise(
        folded,
        lambda rows: channel(layer, units(rows)),
        [found],
        judge=lambda rows: peak(layer, units(rows)),
        **settings,
    )


def _common(count: int, asked: argparse.Namespace) -> dict[str, Any]:
    return {"seeds": range(count), "mean": MEAN, "std": STD, "tries": 1, "batch": 1 if asked.fault else 16}


def folded_net(layer: str) -> tuple[Folded, Layer]:
    """Give the net as ours draws with it, and its layer."""
    net = network("lite0").to(memory_format=torch.contiguous_format)
    found = probe(net, torch.zeros(3, PROJECT, PROJECT), [layer])[layer]
    return fold(net, torch.rand(3, PROJECT, PROJECT)).to("cpu"), found


def timings(timed: Timed, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Run every way in turn; give wall and processor seconds per picture of each round."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, (count, way) in timed.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            taken[name].append(((time.perf_counter() - wall) / count, (time.process_time() - processor) / count))
    return taken


def sample(layer: str, count: int) -> tuple[Tensor, np.ndarray]:
    """Give targets `n c` and a second moment from the net's own activations of noise: speed does not depend on them."""
    net = network("lite0")
    seen: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        net(torch.randn(4, 3, PROJECT, PROJECT, generator=torch.Generator().manual_seed(0)))
    handle.remove()
    rows = seen[0].permute(0, 2, 3, 1).flatten(0, 2)
    return rows[:: len(rows) // count][:count].contiguous(), (rows.T @ rows / len(rows)).double().numpy()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", default="icons", choices=["icons", "units"])
    parser.add_argument("--layer", default="_blocks.10")
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--count", type=int, default=16, help="pictures that ours draws")
    parser.add_argument("--theirs", type=int, default=2, help="pictures that each of lucent's ways draws")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", default="fast", choices=ICON_RECIPES)
    parser.add_argument("--lucent", help="folder with the package")
    parser.add_argument("--fault", choices=["alone"])
    asked = parser.parse_args(arguments)
    targets, moment = sample(asked.layer, asked.count)
    if asked.of == "units":
        targets = torch.arange(asked.count)
        ours = our_units(asked.layer, targets, asked)
    else:
        ours = our_icons(asked.layer, targets, moment, asked)
    timed = ways(asked.layer, targets, ours, asked)
    taken = timings(timed, asked.rounds)
    best = {name: np.min(rounds, axis=0) for name, rounds in taken.items()}
    for name, (wall, processor) in best.items():
        line = {
            "way": name,
            asked.of: timed[name][0],
            "steps": asked.steps,
            "size": asked.size,
            f"{asked.of} per second": round(1 / wall, 3),
            "ours is faster by": round(wall / best["ours"][0], 1),
            "ours is faster by, processor time": round(processor / best["ours"][1], 1),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
