"""The viewer under load, and how soon its page answers, on a run whose grids are full.

    python benchmarks/viewer.py make STORE
    python benchmarks/viewer.py load STORE [--seconds 60] [--connections 16]
    python benchmarks/viewer.py page STORE [--rounds 5]
    python benchmarks/viewer.py compare STORE [--rounds 5]

`make` runs every stage on 400 noisy images and a small network, but lays the samples out on a lattice: grids of 400,
6,400 and 25,600 cells, and a second version with another lattice. `load` asks a server of its own for tiles and answers
over kept connections, publishes the second version in the middle, and compares every answer with the one that a quiet
server gave. `page` opens the page in Chromium and reads the browser's own performance entries.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

NAME, LAYER, GRIDS, ICON = "full", "features.5", (20, 80, 160), 48
IMAGES, SAMPLES = 400, 64


def make(store: Path) -> None:
    """Make two versions of the run, and keep the second back under another name."""
    from support import corpus

    from flows.pipeline import run as pipeline
    from flows.pipeline.engines import Inline
    from flows.stages import layout

    images = corpus.write_images(store.parent / "images", IMAGES)
    for number, name in enumerate((NAME, "next")):
        layout.layouts.layout = lattice(number)  # type: ignore[attr-defined]
        config = corpus.config(
            images,
            store,
            name=name,
            seed=number,
            layers=(LAYER,),
            samples_per_image=SAMPLES,
            shard_size=100,
            batch=32,
            grids=GRIDS,
            min_count=1,
            icon_size=ICON,
            extras=("attribution", "gallery"),
        )
        pipeline.run(config, Inline())


def lattice(seed: int) -> Any:
    """Return a layout that gives each cell of the finest grid a sample, shuffled."""
    from atlas.layout.layout import Layout

    def lay(activations: Any, **settings: Any) -> Layout:
        n, side = len(activations), GRIDS[-1]
        place = np.random.default_rng(seed).permutation(n) % (side * side)
        points = np.stack([place % side, place // side], axis=1)
        return Layout(
            points=((points + 0.5) / side).astype(np.float32),
            trustworthiness=None,
            anchors=np.arange(n),
            notes=("laid out on a lattice, for a benchmark",),
        )

    return lay


def publish_next(store: Path) -> None:
    """Publish the second version."""
    from storage.store.store import Contents, Store

    opened = Store(store)
    kept = opened.version("next", 1)
    opened.publish(NAME, Contents(dict(kept.about), list(kept.stages)))


@contextlib.contextmanager
def serving(store: Path) -> Iterator[tuple[str, int]]:
    """Run `actlas view` and give its address and process id."""
    command = [sys.executable, "-m", "flows.cli", "view", "--no-browser", "--no-token", "--store", str(store)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip().rstrip("/"), process.pid
    finally:
        process.terminate()
        process.wait(20)


def resident(pid: int) -> float:
    """Return the memory of a process in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def targets() -> dict[str, list[str]]:
    """Return what is asked for, by kind: paths below a version, tiles and queries."""
    rng = random.Random(0)
    tiles, queries = [], []
    for grid in GRIDS:
        side = grid * (ICON + 1)
        top = max(1, (side - 1).bit_length())
        for level in range(7, top + 1):
            across = -(-max(1, side >> (top - level)) // 256)
            for _ in range(12):
                x, y = rng.randrange(across), rng.randrange(across)
                tiles.append(ask("tile", layer=LAYER, grid=grid, level=level, x=x, y=y))
        queries += [ask(kind, layer=LAYER, grid=grid) for kind in ("cells", "details")]
        queries.append(ask("class", layer=LAYER, grid=grid, of=rng.randrange(4)))
        queries += [
            ask("cell", layer=LAYER, grid=grid, row=rng.randrange(20), col=rng.randrange(20)) for _ in range(30)
        ]
    queries += [ask(kind, layer=LAYER, unit=unit) for kind in ("unit", "card") for unit in range(12)]
    return {"tile": sorted(set(tiles)), "query": sorted(set(queries))}


def ask(kind: str, **parameters: Any) -> str:
    return f"{kind}?{urlencode(parameters)}"


class Client:
    """One kept connection that asks as the page does: what `current` is, then by tag until a newer one is told."""

    def __init__(self, address: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)

    def get(self, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def tag(self, version: str = "current") -> str:
        return str(json.loads(self.get(f"/api/1/runs/{NAME}/{version}")[2])["tag"])


def address_of(kind: str, tag: str, target: str) -> str:
    return f"/pictures/{NAME}/{tag}/{target}" if kind == "tile" else f"/api/1/runs/{NAME}/{tag}/{target}"


def references(address: str) -> dict[str, bytes]:
    """Ask a quiet server for everything once, and keep the digests of the answers by address."""
    client = Client(address)
    found = {}
    for tag in (client.tag("1"), client.tag("2")):
        for kind, paths in targets().items():
            for path in paths:
                status, _, body = client.get(address_of(kind, tag, path))
                assert status == 200, (path, status, body[:200])
                found[address_of(kind, tag, path)] = hashlib.sha256(body).digest()
    return found


class Crew:
    """Connections that ask until the time is over, and what they met."""

    def __init__(self, address: str, known: dict[str, bytes], until: float) -> None:
        self.address, self.known, self.until = address, known, until
        self.took: dict[str, list[float]] = {"tile": [], "query": []}
        self.errors: list[str] = []
        self.mixed: list[str] = []
        self.versions: set[str] = set()

    def work(self, seed: int) -> None:
        rng, client, paths = random.Random(seed), Client(self.address), targets()
        tag = client.tag()
        while time.monotonic() < self.until:
            kind = "tile" if rng.random() < 0.7 else "query"
            path = address_of(kind, tag, rng.choice(paths[kind]))
            started = time.perf_counter()
            status, headers, body = client.get(path)
            self.took[kind].append(time.perf_counter() - started)
            self._judge(path, tag, status, headers, body)
            if int(headers.get("Actlas-Current", "0")) > int(tag.split("-")[0]) and rng.random() < 0.02:
                tag = client.tag()

    def _judge(self, path: str, tag: str, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.versions.add(tag)
        if status != 200:
            self.errors.append(f"{status} {path}")
        elif headers["Actlas-Version"] != tag or hashlib.sha256(body).digest() != self.known[path]:
            self.mixed.append(path)


def load(store: Path, seconds: float, connections: int) -> dict[str, Any]:
    """Ask for a while, with a version published in the middle."""
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        whole, work = Path(folder) / "whole", Path(folder) / "work"
        for copy in (whole, work):
            shutil.copytree(store, copy, copy_function=_link)
        publish_next(whole)
        with serving(whole) as (address, _):
            known = references(address)
        with serving(work) as (address, pid):
            return _load(address, pid, work, known, seconds, connections)


def _link(source: str, target: str) -> str:
    """Copy small files, link large ones: a store replaces files and never writes into one."""
    Path(target).hardlink_to(source)
    return target


def _load(
    address: str, pid: int, store: Path, known: dict[str, bytes], seconds: float, connections: int
) -> dict[str, Any]:
    crew = Crew(address, known, time.monotonic() + seconds)
    threads = [threading.Thread(target=crew.work, args=(seed,)) for seed in range(connections)]
    memory, used = [resident(pid)], processor_seconds(pid)
    for thread in threads:
        thread.start()
    switched = False
    while any(thread.is_alive() for thread in threads):
        time.sleep(seconds / 12)
        memory.append(resident(pid))
        if not switched and crew.until - time.monotonic() < seconds / 2:
            publish_next(store)
            switched = True
    return {
        **{kind: _spread(took) for kind, took in crew.took.items()},
        "errors": len(crew.errors),
        "mixed": len(crew.mixed),
        "versions": sorted(crew.versions),
        "memory_mib": [round(value) for value in memory],
        "server_ms_of_processor_each": round(
            1000 * (processor_seconds(pid) - used) / sum(map(len, crew.took.values())), 1
        ),
        "machine_load": round(os.getloadavg()[0], 1),
        "first_errors": crew.errors[:3] + crew.mixed[:3],
    }


def compare(store: Path, rounds: int) -> dict[str, Any]:
    """Return the server's memory when it starts, once it has answered everything, and after each comparison, in MiB."""
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        both = Path(folder) / "both"
        shutil.copytree(store, both, copy_function=_link)
        publish_next(both)
        with serving(both) as (address, pid):
            client = Client(address)
            memory = [resident(pid)]
            references(address)
            memory.append(resident(pid))
            since = f"{NAME}@{client.tag('1')}"
            for _ in range(rounds):
                for path in (ask("moved", layer=LAYER, since=since), *targets()["query"]):
                    status, _, body = client.get(address_of("query", client.tag("2"), path))
                    assert status == 200, (path, status, body[:200])
                memory.append(resident(pid))
    return {"memory_mib": [round(value) for value in memory]}


def _spread(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "asked": len(ordered),
        "p50_ms": round(1000 * statistics.median(ordered), 1),
        "p99_ms": round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 1),
    }


WATCH = """
const first = {};
addEventListener('pointermove', () => { first.at = performance.now(); }, true);
addEventListener('pointermove', () => {
  const start = first.at;
  requestAnimationFrame(() => {
    const drawn = performance.now();
    const painted = new MessageChannel();
    painted.port1.onmessage = () => {
      performance.measure('hover drawn', { start, end: drawn });
      performance.measure('hover painted', { start, end: performance.now() });
    };
    painted.port2.postMessage(0);
  });
});
"""
"""Around each move of the cursor: from before the page hears of it until it has drawn, and until that is painted."""

FRAMES = """() => new Promise((resolve) => {
  const gaps = [], began = performance.now();
  let last = began;
  const step = (now) => {
    gaps.push(now - last);
    last = now;
    if (now - began < 900) requestAnimationFrame(step); else resolve(gaps.slice(1));
  };
  requestAnimationFrame(step);
})"""

LOADED = "() => performance.getEntriesByName('map').length > 0"
ENTRIES = """() => {
  const of = (kind) => performance.getEntriesByType(kind);
  const files = [...of('navigation'), ...of('resource')];
  const bytes = (kept) => kept.reduce((sum, entry) => sum + entry.transferSize, 0);
  const picture = (entry) => /\\/(pictures)\\//.test(entry.name);
  return {
    paint: of('paint').find((entry) => entry.name === 'first-contentful-paint').startTime,
    map: performance.getEntriesByName('map')[0].startTime,
    kilobytes: bytes(files.filter((entry) => !picture(entry))) / 1000,
    pictures: bytes(files.filter(picture)) / 1000,
    requests: files.length,
  };
}"""


def page(store: Path, rounds: int) -> dict[str, Any]:
    """Open each grid in a browser with nothing kept, hover over its cells, and zoom."""
    from support import viewing

    with serving(store) as (address, _), viewing.browser() as chromium:
        found: dict[str, Any] = {str(grid * grid): _grid(chromium, address, grid, rounds) for grid in GRIDS}
    return found | {"machine_load": round(os.getloadavg()[0], 1)}


def _grid(chromium: Any, address: str, grid: int, rounds: int) -> dict[str, Any]:
    first = []
    for _ in range(rounds):
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(WATCH)
        page = context.new_page()
        page.goto(f"{address}/{NAME}/atlas/{LAYER}?grid={grid}")
        _until(page, LOADED)
        first.append(page.evaluate(ENTRIES))
        if len(first) == rounds:
            page.wait_for_timeout(1000)
            moved = {"hover": _hover(page), "zoom": _zoom(page)}
        context.close()
    return {name: round(statistics.median(row[name] for row in first), 1) for name in first[0]} | moved


def _until(page: Any, source: str) -> None:
    last = time.monotonic() + 300
    while not page.evaluate(source):
        if time.monotonic() > last:
            raise AssertionError(f"not within five minutes: {source}")
        page.wait_for_timeout(20)


def _hover(page: Any, moves: int = 200) -> dict[str, float]:
    box = page.locator(".stage").bounding_box()
    rng = random.Random(1)
    for _ in range(moves):
        x, y = box["width"] * rng.uniform(0.3, 0.7), box["height"] * rng.uniform(0.2, 0.8)
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.wait_for_timeout(25)
    found = {}
    for name in ("drawn", "painted"):
        took = sorted(
            page.evaluate(f"() => performance.getEntriesByName('hover {name}').map((entry) => entry.duration)")
        )
        found |= {
            f"{name}_p50_ms": round(took[len(took) // 2], 1),
            f"{name}_p95_ms": round(took[int(len(took) * 0.95)], 1),
        }
    return found


def _zoom(page: Any) -> dict[str, float]:
    """Zoom in six times by the wheel, and say how long frames took meanwhile."""
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    gaps = []
    for _ in range(6):
        page.mouse.wheel(0, -200)
        gaps += page.evaluate(FRAMES)
    gaps.sort()
    return {"frame_p50_ms": round(gaps[len(gaps) // 2], 1), "frame_p95_ms": round(gaps[int(len(gaps) * 0.95)], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "load", "page", "compare"))
    parser.add_argument("store", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if args.what == "make":
        make(args.store)
    elif args.what == "load":
        print(json.dumps(load(args.store, args.seconds, args.connections), indent=1))
    elif args.what == "compare":
        print(json.dumps(compare(args.store, args.rounds), indent=1))
    else:
        print(json.dumps(page(args.store, args.rounds), indent=1))


if __name__ == "__main__":
    main()
