"""`make notebooks`: execute the notebooks of examples/ and keep their output, with pictures as small JPEGs."""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
WIDEST = 900
"""Pixels across the widest picture that is kept."""


def execute(book: Any, folder: Path) -> None:
    """Execute a notebook in a folder, with the commands of this environment; raises where a cell fails."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    options = {"timeout": 600, "record_timing": False, "coalesce_streams": True}
    nbclient.NotebookClient(book, **options, resources={"metadata": {"path": str(folder)}}).execute()


def tidy(book: Any) -> None:
    """Keep what a reader wants: answers without progress, and small pictures (a repository keeps every version)."""
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                data = output.get("data", {})
                if "image/png" in data:
                    data["image/jpeg"] = jpeg(data.pop("image/png"))


def jpeg(png: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        small = picture.convert("RGB")
    small.thumbnail((WIDEST, 10 * WIDEST), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    small.save(written, "JPEG", quality=85)
    return base64.b64encode(written.getvalue()).decode()


def main() -> None:
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            execute(book, Path(folder))
        tidy(book)
        nbformat.write(book, path)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
