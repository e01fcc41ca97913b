"""Draw icons side by side: a batch of one size, in which the next icon takes the place of each that is done.

Every round of steps the fidelity of an icon is measured as it would be published, and the best picture is kept. An
icon that started from another is done when a round raised its fidelity by too little, any icon at the recipe's steps.
All of this depends on the icon alone, so that its bytes do not depend on those beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.arrays import Byte, Float, Int
from atlas.inversion.draws import Draws, start_draws
from atlas.inversion.fidelity import WEAK_COSINE, Fidelity, compare, plain_activations
from atlas.inversion.initial_colour import InitialColour
from atlas.inversion.objectives import Objective
from atlas.inversion.optimisers import AdamInPlaces
from atlas.inversion.parameterisations import Parameterisation
from atlas.inversion.recipes import IconRecipe
from atlas.inversion.render import Forward, slope

Size = tuple[int, int]

ROUND = 16
"""Steps after which the fidelity of an icon is measured."""


@dataclass(frozen=True, slots=True)
class Starts:
    """Pictures `m h w 3` that icons start from, and the number of that of each cell, `n`; −1 starts from noise."""

    pictures: Byte
    of: Int


@dataclass(frozen=True, slots=True)
class Setting:
    """What all icons of a grid have in common: `targets` are the means of all its cells, `n c`, `aims` their directions."""

    forward: Forward
    layer: str
    targets: Float
    aims: NDArray[np.float64]
    seeds: Int
    recipe: IconRecipe
    metric: Tensor
    whiten: NDArray[np.floating]
    initial: InitialColour | None
    starts: Starts | None
    shape: Size
    fixed: Size | None
    channels: int
    batch: int
    device: torch.device

    def objective(self, cells: Int) -> Objective:
        """Return the objective for the icons of some cells."""
        return self.recipe.objective(self.layer, torch.from_numpy(self.targets[cells]), self.metric)

    def parameterisation(self, cells: Int, attempts: Int) -> Parameterisation:
        """Return the parameterisation for the icons of some cells, with the number of earlier attempts at each."""
        initial = None if self.initial is None else self.initial.select(cells)
        return self.recipe.parameterisation(*self.shape, self.channels, initial, attempts)

    def first_numbers(self, cell: int, attempt: int, draws: Draws) -> Tensor:
        """Return the numbers that an attempt starts from: those of the cell's start, or noise; a repeat has noise."""
        start = self.start(cell, attempt)
        if start is None:
            return self.parameterisation(np.array([cell]), np.array([attempt])).initial(draws)
        picture = torch.from_numpy(start[..., : self.channels]).permute(2, 0, 1)[None]
        return self.recipe.numbers_of(picture.float() / 255)

    def start(self, cell: int, attempt: int) -> Byte | None:
        """Return the picture that an attempt starts from, None for noise."""
        if self.starts is None or self.starts.of[cell] < 0 or attempt:
            return None
        return np.asarray(self.starts.pictures[self.starts.of[cell]])

    def measure(self, pictures: Byte, cells: Int) -> Fidelity:
        """Measure the fidelity of a batch of pictures as published."""
        shown = pictures[..., : self.channels]
        activations = plain_activations(self.forward, self.layer, shown, self.batch, self.device)
        return compare(activations, self.aims, cells, self.whiten)


@dataclass(slots=True)
class Attempt:
    """An attempt at a cell's icon: its steps so far, and its best picture with the fidelity of that."""

    cell: int
    number: int = 0
    steps: int = 0
    highest: float = -np.inf
    picture: Byte | None = None
    cosine: float = -np.inf
    rank: int = np.iinfo(np.int64).max

    def see(self, picture: Byte, cosine: float, rank: int) -> float:
        """Keep a picture if it is the best; return how much it raises the cosine."""
        raised, self.highest = cosine - self.highest, max(cosine, self.highest)
        if (-rank, cosine) > self.value():
            self.picture, self.cosine, self.rank = picture, cosine, rank
        return raised

    def value(self) -> tuple[int, float]:
        """Return what the best has most of: a high rank, then a high cosine."""
        return -self.rank, self.cosine

    def weak(self) -> bool:
        """Tell whether the icon does not represent its cell."""
        return self.rank > 1 or self.cosine < WEAK_COSINE


def draw_all(
    setting: Setting, waiting: deque[Attempt], finish: Callable[[Attempt], None], report: Callable[[int, float], None]
) -> None:
    """Draw the attempts; `finish` receives each that is done, and may add to those waiting.

    `report` receives, after each step, how many are being drawn, and the share of their steps done, in sum.
    """
    pool = _Pool(setting, waiting)
    while pool.drawn():
        pool.step()
        for attempt in pool.take_done():
            finish(attempt)
        pool.fill()
        drawn = pool.drawn()
        report(len(drawn), sum(attempt.steps for attempt in drawn) / setting.recipe.steps)


class _Pool:
    """The batch of icons that are being drawn; places that none waits for draw on idly."""

    def __init__(self, setting: Setting, waiting: deque[Attempt]) -> None:
        self._setting, self._waiting = setting, waiting
        first = waiting[0]
        self._attempts: list[Attempt | None] = [None] * setting.batch
        self._cells = np.full(setting.batch, first.cell)
        self._tried = np.full(setting.batch, first.number)
        self._draws = [self._start(first) for _ in self._cells]
        numbers = setting.first_numbers(first.cell, first.number, [self._start(first)])
        self._numbers = numbers.repeat(setting.batch, *[1] * (numbers.ndim - 1)).to(setting.device)
        self._adam = AdamInPlaces(self._numbers, setting.recipe.rate)
        self._transform = setting.recipe.build_transform(setting.fixed)
        self.fill()

    def drawn(self) -> list[Attempt]:
        """Return the attempts being drawn."""
        return [attempt for attempt in self._attempts if attempt is not None]

    def fill(self) -> None:
        """Put the attempts that wait in the free places."""
        free = [place for place, attempt in enumerate(self._attempts) if attempt is None]
        taken = [(place, self._waiting.popleft()) for place in free[: len(self._waiting)]]
        for place, attempt in taken:
            self._put(place, attempt)
        if taken:
            self._objective = self._setting.objective(self._cells)
            self._parameterisation = self._setting.parameterisation(self._cells, self._tried)

    def _put(self, place: int, attempt: Attempt) -> None:
        self._attempts[place], self._draws[place] = attempt, self._start(attempt)
        self._cells[place], self._tried[place] = attempt.cell, attempt.number
        self._numbers[place] = self._setting.first_numbers(attempt.cell, attempt.number, [self._draws[place]])[0]
        self._adam.restart(place)

    def step(self) -> None:
        """Take a step with every picture."""
        numbers = self._numbers.requires_grad_()
        gradient = slope(
            self._setting.forward, self._objective, self._parameterisation, self._transform, numbers, self._draws
        )
        self._numbers = numbers.detach()
        self._numbers += self._adam.step(gradient)
        for attempt in self.drawn():
            attempt.steps += 1

    def take_done(self) -> list[Attempt]:
        """Measure the icons whose round is over; take those that are done out of their places."""
        steps = self._setting.recipe.steps
        due = {
            place: attempt
            for place, attempt in enumerate(self._attempts)
            if attempt is not None and (attempt.steps % ROUND == 0 or attempt.steps >= steps)
        }
        raised = self._measure(due) if due else {}
        done = [place for place, each in due.items() if each.steps >= steps or self._is_enough(each, raised[place])]
        for place in done:
            self._attempts[place] = None
        return [due[place] for place in done]

    def _measure(self, due: Mapping[int, Attempt]) -> dict[int, float]:
        """Measure the pictures of some places; return how much each raised its cosine."""
        pictures = self._pictures()
        fidelity = self._setting.measure(pictures, self._cells)
        return {
            place: attempt.see(pictures[place], float(fidelity.cosine[place]), int(fidelity.rank[place]))
            for place, attempt in due.items()
        }

    def _is_enough(self, attempt: Attempt, raised: float) -> bool:
        """Tell whether an icon is done after a round that raised it by so much; those from noise take all the steps."""
        rise = self._setting.recipe.rise
        return rise is not None and raised < rise and self._setting.start(attempt.cell, attempt.number) is not None

    def _pictures(self) -> Byte:
        with torch.no_grad():
            return as_bytes(self._parameterisation.picture(self._numbers).clamp(0, 1))

    def _start(self, attempt: Attempt) -> np.random.Generator:
        return start_draws([int(self._setting.seeds[attempt.cell])], attempt.number)[0]


def as_bytes(pictures: Tensor) -> Byte:
    """Round pictures `b c h w` in 0..1 to bytes `b h w 3`; one channel is repeated."""
    rounded = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(rounded if rounded.shape[3] == 3 else rounded.repeat(3, axis=3))
