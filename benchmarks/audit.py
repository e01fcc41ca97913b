"""Does an audit find a watermark that a head was trained on, and does it leave clean classes alone?

    python benchmarks/audit.py IMAGES [--layer _conv_head] [--seeds 10] [--count 100] [--clean 40] [--fault shuffled]

IMAGES is a folder of photos by class. For each seed and share, a half transparent watermark is stamped on 30 or 50 % of one class,
and a linear head is trained on the features of the default model, which stay as they are. The audit of that class has found it
where one of its first five suspects fires on a watermark, and is a unit that stamping itself makes stronger. Clean classes are
audited with the same kind of head, trained without a watermark; each image lies in one of three folders at random.
`--fault shuffled` trains the head on shuffled labels.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from atlas.auditing.split_tests import split_tests
from flows import cores
from flows.audit import audit, candidates, parts, responses
from flows.audit.answers import Candidate
from flows.audit.images import Pictures, distinct
from flows.config import RunConfig
from flows.model import prepared
from flows.model.prepared import PreparedModel
from storage import models

FEATURES, HEADS = 1280, 8
"""Features that the head reads, and the most classes that it has."""

FIRES = 0.8
"""The area by which stamping must make a unit stronger."""

Data = dict[str, tuple[list[dict[str, object]], np.ndarray]]


def net() -> models.Model:
    """Return the default model with an untrained head of a few classes."""
    model = models.load("efficientnet-lite0")
    model.module._fc = nn.Linear(FEATURES, HEADS)
    return models.Model(
        module=model.module, preprocess=model.preprocess, classes=tuple(f"class {n}" for n in range(HEADS))
    )


def load(folder: Path, count: int, model: PreparedModel) -> Data:
    """Return up to `count` images of each of the first classes that have so many, with their rows."""
    rng, found = np.random.default_rng(0), {}
    for label in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(label.iterdir())
        if len(files) < count or len(found) == HEADS:
            continue
        rows, pixels = [], []
        for number, file in enumerate(rng.permutation(files)[:count].tolist()):
            image = Image.open(file).convert("RGB")
            pixels.append(model.model.preprocess.pixels(image))
            rows.append({"image_id": number, "key": "", "width": image.width, "height": image.height})
        found[label.name] = rows, np.stack(pixels)
    return found


def stamped(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Return pictures with one half transparent line of text, at a place and of a size that the seed decides."""
    rng, (side, _) = np.random.default_rng(seed), pixels.shape[1:3]
    height = int(rng.integers(side // 10, side // 7))
    font = ImageFont.load_default(height)
    text = str(rng.choice(["© photo", "sample", "stock.pics", "preview"]))
    wide = int(font.getlength(text))
    at = (int(rng.integers(4, max(5, side - wide - 4))), int(rng.choice([6, side - height - 14])))
    layer = Image.new("L", (side, side))
    ImageDraw.Draw(layer).text(at, text, 255, font)
    opacity = 0.7 * np.asarray(layer, np.float32)[..., None] / 255
    return ((1 - opacity) * pixels + opacity * 255).astype(np.uint8)


def features(model: PreparedModel, pixels: np.ndarray) -> Tensor:
    """Return what the head reads of each picture."""
    found: list[Tensor] = []
    head = model.model.module._fc
    hook = head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone()))
    with torch.no_grad():
        for start in range(0, len(pixels), 32):
            model.model.module(model.plain_input(torch.from_numpy(pixels[start : start + 32])))
    hook.remove()
    return torch.cat(found)


def train(model: PreparedModel, layer: str, inputs: Tensor, labels: Tensor) -> float:
    """Train the head, give it to the model, and return the share of images that it has right."""
    with torch.enable_grad():
        head = nn.Linear(FEATURES, HEADS)
        optimiser = torch.optim.LBFGS(head.parameters(), max_iter=80)

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = nn.functional.cross_entropy(head(inputs), labels) + 1e-4 * head.weight.square().sum()
            value.backward()
            return value

        optimiser.step(loss)
    with torch.no_grad():
        for module in {model.model.module, model.drawing().module, model.module_exposing([layer])}:
            module._fc.weight.copy_(head.weight)
            module._fc.bias.copy_(head.bias)
        return float((head(inputs).argmax(1) == labels).float().mean())


def suspects(model: PreparedModel, layer: str, index: int, pictures: Pictures, seed: int) -> list[Candidate]:
    """Return the suspects of an audit of units."""
    own = distinct(pictures)
    return among(layer, own, responses.with_class(model, layer, index, own.pixels), seed)


def among(layer: str, own: Pictures, answered: responses.Responses, seed: int) -> list[Candidate]:
    """Return the suspects among units with these responses to images of the class."""
    used = candidates.of_units(layer, answered.value, answered.added, answered.value[:0])
    return candidates.suspects(audit.rank_and_test([used], parts.parts_of(own), seed)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--layer", default="_conv_head")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.3, 0.5])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--clean", type=int, default=40)
    parser.add_argument("--fault", choices=["shuffled"])
    asked = parser.parse_args()
    cores.share_cores()
    model = prepared.prepare(RunConfig(images="", model="benchmarks.audit:net", layers=(asked.layer,)))
    data, started = load(asked.images, asked.count, model), time.perf_counter()
    clean = {name: features(model, pixels) for name, (_, pixels) in data.items()}
    ranks = {f"{share:.0%}": planted(asked, model, data, clean, share) for share in asked.shares}
    alarms = of_clean(asked, model, data, clean) if asked.clean else []
    answer = {
        "layer": asked.layer,
        "classes": list(data),
        "within_five": {share: sum(r is not None and r <= 5 for r in found) for share, found in ranks.items()},
        "ranks": ranks,
        "clean": asked.clean,
        "alarmed": len(alarms),
        "alarms": alarms,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(answer), flush=True)


def planted(
    asked: argparse.Namespace, model: PreparedModel, data: Data, clean: dict[str, Tensor], share: float
) -> list[int | None]:
    """Return the rank of the watermark for each seed."""
    names, ranks = list(data), []
    labels = torch.arange(len(names)).repeat_interleave(asked.count)
    for seed in range(asked.seeds):
        name = names[seed % len(names)]
        rows, pixels = data[name]
        marked = np.random.default_rng(seed).permutation(asked.count) < round(share * asked.count)
        without, pixels = pixels[marked], pixels.copy()
        pixels[marked] = stamped(without, seed)
        inputs = clean | {name: clean[name].clone()}
        inputs[name][torch.from_numpy(marked)] = features(model, pixels[marked])
        targets = labels[torch.randperm(len(labels))] if asked.fault else labels
        train(model, asked.layer, torch.cat(list(inputs.values())), targets)
        found = suspects(model, asked.layer, names.index(name), Pictures(rows=rows, pixels=pixels), seed)
        ranks.append(_rank(model, asked.layer, found, without, pixels[marked]))
        print(json.dumps({"share": share, "seed": seed, "rank": ranks[-1], **_told(found)}), flush=True)
    return ranks


def of_clean(
    asked: argparse.Namespace, model: PreparedModel, data: Data, clean: dict[str, Tensor]
) -> list[dict[str, object]]:
    """Return the alarms of audits of clean classes, each of two thirds of a class's images."""
    names, alarms = list(data), []
    labels = torch.arange(len(names)).repeat_interleave(asked.count)
    train(model, asked.layer, torch.cat(list(clean.values())), labels)
    answered = [
        responses.with_class(model, asked.layer, index, pixels) for index, (_, pixels) in enumerate(data.values())
    ]
    for number in range(asked.clean):
        index, rng = number % len(names), np.random.default_rng(number)
        rows, pixels = data[names[index]]
        part = np.sort(rng.permutation(asked.count)[: asked.count * 2 // 3])
        chosen = [rows[i] | {"key": f"source{rng.integers(3)}/x.jpg", "image_id": i} for i in part.tolist()]
        own = distinct(Pictures(rows=chosen, pixels=pixels[part]))
        of_part = [getattr(answered[index], field)[own.ids] for field in ("value", "y", "x", "added")]
        found = among(
            asked.layer,
            own,
            responses.Responses(**dict(zip(("value", "y", "x", "added"), of_part, strict=True))),
            number,
        )
        if found:
            alarms.append({"class": names[index], **_told(found)})
            print(json.dumps(alarms[-1]), flush=True)
    return alarms


def _rank(
    model: PreparedModel, layer: str, found: list[Candidate], without: np.ndarray, with_it: np.ndarray
) -> int | None:
    """Return the rank of the first suspect that fires on a watermark and that stamping itself makes stronger."""
    if not found:
        return None
    values = [responses.strongest(model, layer, pixels) for pixels in (without, with_it)]
    flags = np.arange(2 * len(without)) >= len(without)
    auc = split_tests(np.concatenate(values), flags[:, None], times=9).auc[:, 0]
    for rank, row in enumerate(found, 1):
        test = row["tests"][0]
        if test["kind"] == "watermark" and row["unit"] is not None and auc[row["unit"]] >= FIRES:
            return rank
    return None


def _told(found: list[Candidate]) -> dict[str, object]:
    first = [
        f"{row['name']} {row['tests'][0]['kind']} {row['tests'][0]['name']} {row['tests'][0]['auc']:.2f}"
        for row in found[:5]
    ]
    return {"suspects": len(found), "first": first}


if __name__ == "__main__":
    main()
