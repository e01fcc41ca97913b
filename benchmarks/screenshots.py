"""Make the pictures of the viewer in docs/pictures: an atlas with a cell opened, a unit, an image taken apart.

    python benchmarks/screenshots.py [--store DIR] [--theme light]

Needs the run `samples` of benchmarks/gallery.py, and Debian's Chromium.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from storage.run import open_run

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 800
RUN, LAYER = "samples", "_blocks.10"
QUIET = 1500
"""Milliseconds without a request after which a page is taken to be drawn."""


def places(store: str) -> dict[str, str]:
    """Return the address of each picture, by the picture's name."""
    cells = open_run(store, RUN).cell_facts(LAYER, 10)
    best = int(np.argmax(np.where(cells.count >= 9, cells.cosine, -1)))
    return {
        "viewer-atlas": f"/{RUN}/atlas/{LAYER}?cell={cells.row[best]},{cells.col[best]}",
        "viewer-unit": f"/{RUN}/unit/_blocks.14:41",
        "viewer-image": f"/{RUN}/image/21?layer={LAYER}",
    }


def shoot(page: Any, address: str) -> Image.Image:
    """Return a picture of a page once it is drawn."""
    page.goto(address)
    page.wait_for_load_state("networkidle", timeout=120_000)
    page.wait_for_timeout(QUIET)
    page.wait_for_load_state("networkidle", timeout=120_000)
    page.wait_for_timeout(QUIET)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default=os.environ.get("ACTLAS_STORE", "actlas-store"))
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    args = parser.parse_args()
    command = [sys.executable, "-m", "flows.cli", "view", "--no-browser", "--no-token", "--store", args.store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        base = next(word for line in server.stdout for word in line.split() if word.startswith("http")).rstrip("/.,")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=args.theme)
        for name, address in places(args.store).items():
            shoot(page, base + address).save(PICTURES / f"{name}.jpg", quality=88, optimize=True, progressive=True)
            print(PICTURES / f"{name}.jpg", flush=True)
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
