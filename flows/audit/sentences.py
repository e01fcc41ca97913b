"""State the rules and the numbers of an audit in sentences, for the command and the sheet."""

from __future__ import annotations

from collections.abc import Iterator

from flows.audit.answers import Audit, Candidate


def of_images(answer: Audit) -> str:
    """Say which images an audit looks at."""
    return (
        f"class {answer['class']} {answer['name']} at {answer['layer']}: {answer['images']:,} images labelled "
        f"{answer['label']}, {answer['others']:,} with other labels"
    )


def of_tests(answer: Audit) -> str:
    """Say what is tested, and which rule makes a suspect."""
    used = f"{answer['units']:,} units and {answer['cells']:,} cells that add to the class"
    if answer["bound"] is None:
        return f"{used}; no part of its images can be tested: each needs {answer['least']} images, and 5 outside it"
    return (
        f"{used}, tested against {len(answer['parts'])} parts of its images; a suspect is stronger in the part in "
        f"{answer['stronger']:.0%} of pairs, with a score above {answer['bound']:.2f}, which chance reaches anywhere in "
        f"{answer['level']:.0%} of {answer['permutations']} permutations of the images"
    )


def of_suspect(row: Candidate) -> str:
    """Say what a suspect fires on, and what it does."""
    test, effects = row["tests"][0], row["effects"]
    text = (
        f"fires on {test['kind']} {test['name']} ({test['images']} images): stronger there in {test['auc']:.0%} of pairs, "
        f"score {test['score']:.1f}, p {test['p']:.3f}, which brings {test['extra']:.2%} of the use of all"
    )
    if row["place"] is not None:
        text += f"; strongest at one place in {row['place']:.0%} of them"
    if row["without"] is not None:
        text += f"; as strong in {row['without']['share']:.0%} of images without the class"
    if effects is not None:
        part, others = effects["part"], effects["others"]
        text += (
            f"; at zero, the class's score changes by {part['change']:+.3g} there and {others['change']:+.3g} elsewhere, and "
            f"{part['lost']} of {part['first']} and {others['lost']} of {others['first']} images lose it as first choice"
        )
    return text


def remarks(answer: Audit) -> Iterator[str]:
    """Say which images were left out."""
    if answer["unreadable"]:
        yield f"{answer['unreadable']:,} images can no longer be read, and are left out"
    if answer["near_duplicates"]:
        yield f"{answer['near_duplicates']:,} images nearly equal another one of the class, and are left out"
    if answer["nonfinite"]:
        yield f"{answer['nonfinite']:,} images are left out: the model gives NaN or infinities"
