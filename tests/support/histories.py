"""Random histories of a folder of images, and which images are in it, told with plain dictionaries."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

State = dict[str, tuple[bytes, int]]
"""Content and time of each file, by its key."""


@dataclass(eq=False)
class Image:
    """An image: where it is or was, what it holds, since when, and under which stamps its content was read."""

    key: str
    content: bytes
    time: int
    stamp: int
    there: bool = True
    read: set[int] = field(default_factory=set)


class Identities:
    """Which file is which image: one that holds the content of an image that is gone is that image."""

    def __init__(self) -> None:
        self.images: list[Image] = []

    def listed(self, state: State, limit: int) -> list[str]:
        """List a folder; return the keys of the images to use, in the order of their ids, and regard those as read."""
        waiting, gone = self._moved(state)
        last = {image.key: image for image in sorted(self.images, key=lambda image: image.there)}
        for known in (self._same_key, self._same_content):
            for key in list(waiting):
                fits = [image for image in gone if known(image, key, state[key][0])]
                if fits:
                    image = min(fits, key=lambda image: (not image.there, image.key))
                    gone.remove(image)
                    waiting.remove(key)
                    image.key, image.time = key, state[key][1]
        for key in sorted(waiting, key=lambda key: (blake2b(key.encode(), digest_size=8).digest(), key)):
            self._change_or_add(last.get(key), gone, key, *state[key])
        for image in self.images:
            image.there = image not in gone
        used = [image for image in self.images if image.there][:limit]
        for image in used:
            image.read.add(image.stamp)
        return [image.key for image in used]

    def _moved(self, state: State) -> tuple[list[str], list[Image]]:
        """Return the keys whose files are new or touched, in order, and the images that are not where they were."""
        last = {image.key: image for image in sorted(self.images, key=lambda image: image.there)}
        stay = {
            key: last[key]
            for key, (content, time) in state.items()
            if key in last and _as_listed(last[key], content, time)
        }
        return sorted(state.keys() - stay.keys()), [image for image in self.images if image not in stay.values()]

    @staticmethod
    def _same_content(image: Image, key: str, content: bytes) -> bool:
        return image.stamp in image.read and image.content == content

    @staticmethod
    def _same_key(image: Image, key: str, content: bytes) -> bool:
        return image.key == key and image.stamp in image.read and image.content == content

    def _change_or_add(self, image: Image | None, gone: list[Image], key: str, content: bytes, time: int) -> None:
        if image is None or image.key != key or image not in gone:
            self.images.append(Image(key=key, content=content, time=time, stamp=time))
            return
        gone.remove(image)
        image.content, image.time, image.stamp = content, time, time


def _as_listed(image: Image, content: bytes, time: int) -> bool:
    return (len(image.content), image.time) == (len(content), time)


class Folder:
    """A folder on disk and what may happen to it. Every content is one of few, and every write has a time of its own."""

    def __init__(self, root: Path, seed: int, contents: list[bytes]) -> None:
        self.root, self.bin, self.random, self.contents = root, root.parent / "bin", random.Random(seed), contents
        self.bin.mkdir()
        self.clock = 10**18
        for _ in range(6):
            self.add()

    def state(self) -> State:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    def change(self) -> None:
        """Do something, or a few things."""
        actions: list[Callable[[], None]] = [
            *(self.add, self.remove, self.rename, self.move, self.touch, self.replace, self.copy),
            *(self.swap, self.overwrite, self.recase, self.restore, self.rename_folders, self.copy_all),
        ]
        for _ in range(self.random.randint(1, 4)):
            self.random.choice(actions)()

    def add(self) -> None:
        self._write(self._free(), self.random.choice(self.contents))

    def remove(self) -> None:
        """Keep at least two images, and the removed one where it may come back from."""
        if len(self._files()) > 2:
            file = self._any()
            shutil.move(file, self.bin / file.relative_to(self.root).as_posix().replace("/", "+"))

    def restore(self) -> None:
        for file in sorted(self.bin.iterdir())[:1]:
            target = self.root / file.name.replace("+", "/")
            target.parent.mkdir(exist_ok=True, parents=True)
            shutil.move(file, target if not target.exists() else self._free())

    def rename(self) -> None:
        self._any().rename(self._free())

    def move(self) -> None:
        file = self._any()
        folder = self.root / self.random.choice("abc")
        folder.mkdir(exist_ok=True)
        if not (folder / file.name).exists():
            file.rename(folder / file.name)

    def recase(self) -> None:
        file = self._any()
        target = file.with_name(file.name.swapcase())
        if not target.exists():
            file.rename(target)

    def touch(self) -> None:
        self._tick(self._any())

    def replace(self) -> None:
        self._write(self._any(), self.random.choice(self.contents))

    def copy(self) -> None:
        self._write(self._free(), self._any().read_bytes())

    def swap(self) -> None:
        a, b, aside = self._any(), self._any(), self.root.parent / "aside"
        for source, target in ((a, aside), (b, a), (aside, b)) if a != b else ():
            source.rename(target)

    def overwrite(self) -> None:
        if len(self._files()) > 2:
            self._any().replace(self._any())

    def rename_folders(self) -> None:
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir()):
            target = folder.with_name(f"{folder.name[0]}{self.random.randrange(1000)}")
            if not target.exists():
                folder.rename(target)

    def copy_all(self) -> None:
        """Replace the folder by a copy whose files have other times."""
        shutil.copytree(self.root, self.root.parent / "copy")
        shutil.rmtree(self.root)
        (self.root.parent / "copy").rename(self.root)
        for file in self._files():
            self._tick(file)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def _any(self) -> Path:
        return self.random.choice(self._files())

    def _free(self) -> Path:
        folder = self.root / self.random.choice(["a", "b", "c", "."])
        folder.mkdir(exist_ok=True, parents=True)
        names = (folder / f"{self.random.choice('xy')}{self.random.randrange(30)}.ppm" for _ in range(1000))
        return next(name for name in names if not name.exists())

    def _write(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        self._tick(file)

    def _tick(self, file: Path) -> None:
        self.clock += 10**9
        os.utime(file, ns=(self.clock, self.clock))


def small_pictures(count: int = 12) -> list[bytes]:
    """Return pictures of two sizes, all different."""
    sides = (4, 5)
    return [
        b"P6\n%d %d\n255\n" % (side, side) + bytes((i * 20 + j) % 256 for j in range(3 * side * side))
        for i, side in enumerate(sides * (count // 2))
    ]
