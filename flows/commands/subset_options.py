"""Which images of a source a run uses, as options of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True, kw_only=True)
class SubsetOptions:
    """The settings that choose among the images, each None where it was not given; combined, each narrows the others."""

    limit: Annotated[
        int | None,
        typer.Option(help="Use the first N images, in the order of their hash; all if left out."),
    ] = None
    grow: Annotated[
        int | None, typer.Option(help="Use N images more than the run's last version, until all are in.")
    ] = None
    per_label: Annotated[int | None, typer.Option(help="Use N images of each label, by their hash.")] = None
    sample: Annotated[int | None, typer.Option(help="Use N of the images, by their hash: the same anywhere.")] = None
    where: Annotated[
        str | None,
        typer.Option(help="A condition in SQL on key, name, label, label_id, bytes and the columns of --table."),
    ] = None
    table: Annotated[
        str | None, typer.Option(help="A Parquet or CSV file with a column key: more columns for --where.")
    ] = None
    keys: Annotated[
        str | None, typer.Option(help="A text file with an image's key, or file name, per line: use these images.")
    ] = None
