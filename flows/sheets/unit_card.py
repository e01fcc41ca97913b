"""The card of a unit: everything that a run knows about it, on a page that needs no introduction."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.arrays import Byte
from atlas.colours import BLUE, ORANGE
from flows.drawing.unit_pictures import Pictures
from flows.questions.patches import Sign
from flows.questions.unit_samples import Histogram
from flows.questions.units import ClassCorrelation, LabelCounts, Unit, UnitClasses, links
from flows.sheets.canvas import FAINT, INK, NO_GRADIENT, QUIET, Canvas, signed

WIDTH, MARGIN, GAP = 1440, 48, 24
INNER = WIDTH - 2 * MARGIN
ASIDE = 264
"""Width of the column with the unit's own picture and labels."""
TILE, BETWEEN, ACROSS = 110, 9, 9
"""Side of a patch, space between two, patches in a row."""
THUMB, ROW = 52, 64
LABELS = 8
TITLES: dict[Sign, str] = {"positive": "Where it is strongest", "negative": "Where it is most negative"}


def draw(answer: Unit, pictures: Pictures) -> Byte:
    """Draw an answer of `questions.units.unit`, `h w 3`."""
    page = Canvas(WIDTH)
    y = _title(page, answer)
    below = _aside(page, answer, pictures, y)
    for sign, title in TITLES.items():
        y = _side(page, answer, pictures, sign, title, y)
    y = _values(page, answer, pictures, max(y, below + 20))
    y = _others(page, answer, pictures, y + 8)
    return page.cut(round(y))


def _title(page: Canvas, answer: Unit) -> float:
    page.text(MARGIN, 40, f"Unit {answer['unit']} of {answer['layer']}", 34)
    about = f"one of {answer['units']} units · {answer['model']} · {answer['images']:,} images"
    page.text(WIDTH - MARGIN, 36, f"{answer['run']}@{answer['version']}", 15, align="right")
    page.text(WIDTH - MARGIN, 58, about, 13, QUIET, align="right")
    page.text(MARGIN, 88, sentence(answer), 15, QUIET, most=INNER)
    return 130


def sentence(answer: Unit) -> str:
    """Summarise the unit in a line."""
    if note := answer["positive"]["note"]:
        return str(note)
    parts = []
    if labels := answer["labels"]["stand_out"]:
        named = " and ".join(f"{row['name']} ({row['count']})" for row in labels[:2])
        parts.append(f"of its {answer['labels']['patches']} strongest patches: {named}")
    elif answer["labels"]["counts"]:
        parts.append("no label stands out")
    parts.append(f"at most {_number(answer['positive']['extreme'])}")
    if answer["samples"]:
        parts.append(f"above 0 at {percent(answer['samples']['above_zero'])} of sampled positions")
    return " · ".join(parts)


def _aside(page: Canvas, answer: Unit, pictures: Pictures, y: float) -> float:
    """Draw the column with the unit's own picture and its labels; return the y below."""
    y = _heading(page, MARGIN, y, ASIDE, "Drawn to excite it")
    if pictures.own is None:
        page.box(MARGIN, y, ASIDE, ASIDE, FAINT)
        page.lines(MARGIN + 16, y + ASIDE / 2 - 20, pictures.own_remark, ASIDE - 32)
    else:
        page.picture(MARGIN, y, pictures.own, ASIDE)
    y += ASIDE + 8
    if pictures.own is not None:
        y = page.lines(MARGIN, y, pictures.own_remark, ASIDE)
    y = _heading(page, MARGIN, y + 14, ASIDE, f"Labels of its {answer['labels']['patches']} strongest patches")
    return _labels(page, answer["labels"], y)


def _labels(page: Canvas, labels: LabelCounts, y: float) -> float:
    if not labels["counts"]:
        return page.lines(MARGIN, y, "None: no patch with a label excites it.", ASIDE)
    for row in labels["counts"][:LABELS]:
        share = row["patches"] / labels["patches"]
        page.box(MARGIN, y + 19, ASIDE, 4, FAINT)
        page.box(MARGIN, y + 19, ASIDE * share, 4, INK)
        page.text(MARGIN, y, row["label"], 13, most=ASIDE - 40)
        page.text(MARGIN + ASIDE, y, str(row["patches"]), 13, QUIET, align="right")
        y += 32
    rest = len(labels["counts"]) - LABELS
    more = f"and {rest} more; as " if rest > 0 else "As "
    return page.lines(MARGIN, y, f"{more}mixed as {2 ** labels['entropy']:.1f} equal labels", ASIDE)


def _side(page: Canvas, answer: Unit, pictures: Pictures, sign: Sign, title: str, y: float) -> float:
    """Draw the patches of a side, their gradients below them; return the y below."""
    left, wide = MARGIN + ASIDE + GAP * 1.5, INNER - ASIDE - GAP * 1.5
    method = pictures.methods.get(sign)
    drives = "drives it up" if sign == "positive" else "drives it down"
    y = _heading(
        page,
        left,
        y,
        wide,
        title,
        f"the part of each image that it sees{f'; below, what {drives} ({method})' if method else ''}",
    )
    if note := answer[sign]["note"]:
        y = page.lines(left, y - 4, note, wide) + 4
    if answer[sign]["extreme"] == 0 and answer["positive"]["extreme"] == answer["negative"]["extreme"]:
        return y + 8
    step, middle = (wide - TILE) / (ACROSS - 1), y + TILE
    gradients = pictures.gradients.get(sign, [])
    for number, patch in enumerate(answer[sign]["patches"][:ACROSS]):
        x = left + number * step
        page.fitted(x, y, pictures.patches[sign][number], TILE)
        if number < len(gradients):
            page.fitted(x, middle + 3, gradients[number], TILE, NO_GRADIENT)
        page.text(x + TILE / 2, middle + (TILE + 9 if gradients else 6), signed(patch["value"]), 13, align="centre")
    return middle + (TILE + 46 if gradients else 44)


def _values(page: Canvas, answer: Unit, pictures: Pictures, y: float) -> float:
    """Draw the histogram of the samples, with examples below each interval of the range; return the y below."""
    spread, intervals = answer["samples"], answer["intervals"]
    if spread is None:
        return y
    remark = f"{spread['count']:,} sampled positions, median {_number(spread['quantiles']['0.5'])}"
    remark += f"; {percent(spread['zeros'])} are exactly 0" if spread["zeros"] else ""
    y = _heading(page, MARGIN, y, INNER, "How strong it is, and examples from all over its range", remark)
    y = _histogram(page, spread["histogram"], y + 16, 120)
    step = INNER / max(1, len(intervals))
    side = min(step, INNER / 10) - 10
    for number, interval in enumerate(intervals):
        x = MARGIN + number * step + 5
        page.text(x + step / 2 - 5, y, f"{_number(interval['from'])} to {_number(interval['to'])}", 13, align="centre")
        page.text(x + step / 2 - 5, y + 18, percent(interval["share"]), 13, QUIET, align="centre")
        for place, example in enumerate(pictures.examples[number]):
            page.fitted(x + (step - 10 - side) / 2, y + 42 + place * (side + 6), example, side)
    most = max((len(row) for row in pictures.examples), default=0)
    return y + 42 + most * (side + 6) + 18


def _histogram(page: Canvas, histogram: Histogram, y: float, high: float) -> float:
    """Draw bars over the full width, blue below 0 and orange above; return the y below."""
    counts, edges = histogram["counts"], histogram["edges"]
    step, most = INNER / max(1, len(counts)), max(counts, default=1)
    for number, count in enumerate(counts):
        bar = max(1.0 if count else 0.0, high * count / most)
        colour = BLUE if edges[number] + edges[number + 1] < 0 else ORANGE
        page.box(MARGIN + number * step, y + high - bar, max(1.0, step - 1), bar, colour)
    page.rule(MARGIN, y + high, INNER)
    if edges[0] < 0 < edges[-1]:
        zero = MARGIN - edges[0] / (edges[-1] - edges[0]) * INNER
        page.box(zero, y - 6, 1, high + 6, INK)
        page.text(zero, y - 22, "0", 13, align="centre")
    return y + high + 10


def _others(page: Canvas, answer: Unit, pictures: Pictures, y: float) -> float:
    """Draw four columns: similar units by two measures, linked units, classes; return the y below."""
    wide = (INNER - 3 * GAP * 1.5) / 4
    x = [MARGIN + number * (wide + GAP * 1.5) for number in range(4)]
    alike, layer = answer["alike"], answer["layer"]
    rows = [(row["unit"], f"{row['cosine']:.2f}") for row in alike["activation"]]
    below = [_units(page, pictures, layer, rows, "Active together", "cosine over images", x[0], y, wide)]
    rows = [(row["unit"], percent(row["shared"])) for row in alike["images"]]
    below.append(_units(page, pictures, layer, rows, "Strongest together", "images in common", x[1], y, wide))
    below.append(_links(page, answer, pictures, x[2], y, wide))
    below.append(_classes(page, answer, x[3], y, wide))
    return max(below) + 24


def _units(
    page: Canvas,
    pictures: Pictures,
    layer: str,
    rows: Sequence[tuple[int, str]],
    title: str,
    measure: str,
    x: float,
    y: float,
    wide: float,
) -> float:
    """List units, each with its pictures and a number; return the y below."""
    y = _heading(page, x, y, wide, title, measure)
    if not rows:
        return page.lines(x, y, "none", wide)
    for unit, number in rows:
        for place, picture in enumerate(pictures.thumbs.get((layer, unit), [])[:4]):
            page.fitted(x + place * (THUMB + 3), y, picture, THUMB)
        page.text(x + wide, y + 8, f"unit {unit}", 13, align="right")
        page.text(x + wide, y + 28, number, 13, QUIET, align="right")
        y += ROW
    return y


def _links(page: Canvas, answer: Unit, pictures: Pictures, x: float, y: float, wide: float) -> float:
    for side, layer, rows in links(answer):
        rows = sorted(rows, key=lambda row: -abs(row["influence"]))
        largest = max((abs(row["influence"]) for row in rows), default=1.0)
        y = _heading(page, x, y, wide, f"{'Driven by' if side == 'driven' else 'Drives'} {layer}", "influence")
        for row in sorted(rows[:6], key=lambda row: -row["influence"]):
            for picture in pictures.thumbs.get((layer, row["unit"]), [])[:1]:
                page.fitted(x, y, picture, 40)
            page.text(x + 50, y + 3, f"unit {row['unit']}", 13)
            page.text(x + wide, y + 3, signed(row["influence"]), 13, QUIET, align="right")
            page.bar(x + 50, y + 26, wide - 50, row["influence"] / largest)
            y += 48
        y += 12
    if answer["driven"] is None and answer["drives"] is None:
        y = _heading(page, x, y, wide, "What it drives")
        y = page.lines(x, y, "Not known: run it again --with influence.", wide)
    return y


def _classes(page: Canvas, answer: Unit, x: float, y: float, wide: float) -> float:
    related = answer["classes"]
    if related is None:
        y = _heading(page, x, y, wide, "Classes it speaks for")
        return page.lines(x, y, "Not known: run it again --with attribution.", wide)
    sides = (("Classes it goes with", related["for"]), ("Classes it goes against", related["against"]))
    for title, rows in sides:
        y = _heading(page, x, y, wide, title, "correlation")
        for row in rows:
            page.text(x, y, row["name"], 13, INK if stands_out(related, row) else QUIET, most=wide - 50)
            page.text(x + wide, y, signed(row["correlation"]), 13, QUIET, align="right")
            page.bar(x, y + 20, wide, row["correlation"])
            y += 34
        y += 12
    return page.lines(x, y - 4, by_chance(related), wide)


def stands_out(related: UnitClasses, row: ClassCorrelation) -> bool:
    """Tell whether a correlation is beyond what chance reaches."""
    return related["bound"] is not None and abs(row["correlation"]) > related["bound"]


def by_chance(related: UnitClasses) -> str:
    """Say over how many cells classes are correlated, and how far chance reaches."""
    over = f"over the {related['cells']} cells of the atlas"
    if related["bound"] is None:
        return f"{over}: too few to tell from chance"
    reach = f"chance reaches ±{related['bound']:.2f} (±{related['permuted'] or 0:.2f} with cells permuted)"
    return f"{over}; {reach}; what is within is grey"


def _heading(page: Canvas, x: float, y: float, wide: float, title: str, remark: str = "") -> float:
    """Write a heading above a hairline, with a remark at its right end; return the y below."""
    page.text(x, y, title, 15, most=wide)
    page.text(x + wide, y + 2, remark, 13, QUIET, align="right")
    page.rule(x, y + 24, wide)
    return y + 36


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """Format a share as a percentage."""
    return f"{100 * share:.{0 if share >= 0.1 else 1 if share >= 0.001 else 2}f} %"
