"""Icons per second against lucent's way, at equal size, steps, layer and targets, turn by turn in one process.

    python benchmarks/lucent.py --layer _blocks.10 --steps 96 --rounds 3 [--lucent FOLDER]

lucent's loop, from its published code (version 0.1.8, `optvis/render.py`, `transform.py`, `param/`, `objectives.py`):
the net as it comes, channels first, a hook on every module; Fourier pictures with decorrelated colour, Adam at 0.05;
pad 12, jitter 8 and 4, scale, rotate, drawn once for the batch; normalised, stretched to 224 pixels (what
`render_vis` does below that size), and passed through the whole net; the direction's cosine at the centre position.
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

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transfer import MEAN, STD, network

from atlas.activations import probe
from atlas.folding import fold
from atlas.inversion.icons import icons
from atlas.inversion.parameterisations import colour, fourier, lucid_gain
from atlas.inversion.recipes import RECIPES

PROJECT = 224

Timed = dict[str, tuple[int, Callable[[], object]]]


def lucent_way(net: nn.Module, layer: str, targets: Tensor, steps: int, size: int) -> Tensor:
    """Give pictures `b 3 h w` of targets `b c` as lucent's render_vis makes them."""
    seen: dict[str, Tensor] = {}
    handles = [m.register_forward_hook(lambda m, i, o, n=n: seen.__setitem__(n, o)) for n, m in net.named_modules()]
    shape = fourier(lucid_gain(size, size), size, size).then(colour, torch.sigmoid)
    numbers = (torch.randn(len(targets), 3, size, size // 2 + 1, 2) * 0.01).requires_grad_()
    optimiser = torch.optim.Adam([numbers], lr=5e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        net(lucent_transforms(shape.picture(numbers)))
        maps = seen[layer]
        at = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]
        (-F.cosine_similarity(at, targets, dim=1).sum()).backward()
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
    from lucent.optvis.objectives import direction_neuron  # type: ignore[import-not-found]

    def way(net: nn.Module, layer: str, targets: Tensor, steps: int, size: int) -> None:
        for target in targets:
            render.render_vis(
                net,
                direction_neuron(layer.replace(".", "_"), target),
                lambda: param.image(size),
                thresholds=(steps,),
                progress=False,
                show_image=False,
            )

    return way


def ways(layer: str, targets: Tensor, moment: np.ndarray, asked: argparse.Namespace) -> Timed:
    """Give every way of drawing by name, with how many it draws; ours includes the search for grounds and the proofs."""
    net = network("lite0").to(memory_format=torch.contiguous_format)
    recipe = dataclasses.replace(RECIPES[asked.recipe], steps=asked.steps)
    found = probe(net, torch.zeros(3, PROJECT, PROJECT), [layer])[layer]
    folded = fold(net, torch.rand(3, PROJECT, PROJECT)).to("cpu")
    settings = {
        "recipe": recipe,
        "seeds": range(len(targets)),
        "mean": MEAN,
        "std": STD,
        "size": asked.size,
        "tries": 1,
        "batch": 1 if asked.fault else 16,
    }
    few = targets[: asked.theirs]
    timed: dict[str, tuple[int, Callable[[], object]]] = {
        "ours": (len(targets), lambda: icons(folded, found, targets.numpy(), moment, **settings)),
        "lucent, one at a time": (
            len(few),
            lambda: [lucent_way(net, layer, target[None], asked.steps, asked.size) for target in few],
        ),
        "lucent, in a batch": (len(few), lambda: lucent_way(net, layer, few, asked.steps, asked.size)),
    }
    if asked.lucent:
        package = lucent_itself(asked.lucent)
        timed["lucent itself"] = (len(few), lambda: package(net, layer, few, asked.steps, asked.size))
    return timed


def timings(timed: Timed, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Run every way in turn; give wall and processor seconds per icon of each round."""
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
    parser.add_argument("--layer", default="_blocks.10")
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--count", type=int, default=16, help="icons that ours draws")
    parser.add_argument("--theirs", type=int, default=2, help="icons that each of lucent's ways draws")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", default="fast", choices=RECIPES)
    parser.add_argument("--lucent", help="folder with the package")
    parser.add_argument("--fault", choices=["alone"])
    asked = parser.parse_args(arguments)
    timed = ways(asked.layer, *sample(asked.layer, asked.count), asked)
    taken = timings(timed, asked.rounds)
    best = {name: np.min(rounds, axis=0) for name, rounds in taken.items()}
    for name, (wall, processor) in best.items():
        line = {
            "way": name,
            "icons": timed[name][0],
            "steps": asked.steps,
            "icons per second": round(1 / wall, 3),
            "ours is faster by": round(wall / best["ours"][0], 1),
            "ours is faster by, processor time": round(processor / best["ours"][1], 1),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
