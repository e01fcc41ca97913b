"""Flip one bit in each of N random places of a copy of a published tree, delete M files: does `verify` name them all, each
by its own path?

python benchmarks/scrub.py STORE [--flips 100] [--deletions 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from pathlib import Path

from storage.store.places import HAPPENED, MANIFEST
from storage.store.store import Store
from storage.store.verify import verify

RECORDS = (MANIFEST, HAPPENED)


def published(store: Path) -> list[Path]:
    """Return every file of results and versions."""
    return sorted(path for part in ("stages", "runs") for path in (store / part).rglob("*") if path.is_file())


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def blind(harmed: set[str]) -> set[str]:
    """Return the results whose manifest and its copy are both harmed: what they were made of may be past knowing."""
    lost = ({name.rpartition("/")[0] for name in harmed if name.endswith(f"/{file}")} for file in RECORDS)
    return set.intersection(*lost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--deletions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "store"
        shutil.copytree(args.store, copy)
        clean = verify(Store(copy))
        files = [path for path in published(copy) if path.stat().st_size]
        # A place is a byte of the tree: large files are hit more often.
        flipped = rng.choices(files, weights=[path.stat().st_size for path in files], k=args.flips)
        for path in flipped:
            flip(path, rng)
        deleted = rng.sample([path for path in files if path not in set(flipped)], args.deletions)
        for path in deleted:
            path.unlink()
        found = {damage.path for damage in verify(Store(copy))}
        harmed = {str(path.relative_to(copy)) for path in {*flipped, *deleted}}
        # Of a result whose manifest and record are both damaged, only these are named: its files are unknown.
        unknown = blind(harmed)
        others = {path for path in found - harmed if "/".join(path.split("/")[:3]) not in unknown}
        missed = {path for path in harmed - found if "/".join(path.split("/")[:3]) not in unknown}
        figures = {"files": len(files), "on_the_clean_tree": len(clean), "flips": len(flipped), "deleted": len(deleted)}
        print(
            json.dumps(
                figures
                | {"files_harmed": len(harmed), "named": len(harmed & found)}
                | {"not_named": sorted(missed), "false_alarms": len(others)}
            )
        )


if __name__ == "__main__":
    main()
