"""A hundred and sixty forms of sources and label tables: each entry is listed or counted by its reason, or one line says why."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.datasets import write_folder
from support.source_forms import FOLDERS, FORMS, PAIR, TARS, Form, entries

from flows.config import RunConfig
from flows.pipeline import run_images
from flows.stages import image_listing
from flows.stages.shared import image_names, reading
from storage.errors import ActlasError, UsageError
from storage.images import contract, folder, formats, left_out
from storage.images import labels as label_values
from storage.images.listing import about, listing
from storage.images.sources import open_source
from storage.store.store import Store


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    reading.forget()
    yield
    reading.forget()


def decoder(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """Let the decoder of HEIF be there or not."""
    for module in (contract, formats):
        monkeypatch.setattr(module, "heif_version", lambda: "1.0" if there else None)


def config(form: Form, tmp_path: Path) -> RunConfig:
    (tmp_path / "in").mkdir()
    images, table = form.make(tmp_path / "in"), None
    if form.table is not None:
        table = tmp_path / "labels.csv"
        table.write_bytes(form.table if isinstance(form.table, bytes) else form.table.encode())
    return RunConfig(
        images=str(images),
        image_column=form.column,
        labels=str(table) if table else None,
        store=str(tmp_path / "s"),
        layers=("x",),
    )


def broken(form: Form, config: RunConfig) -> list[str]:
    """List a source and name what differs from the form."""
    try:
        output, table = image_listing.plan_listing(Store(Path(config.store)), config)
        images = run_images.plan(config, output, table)
    except ActlasError as error:
        said = bool(form.line) and re.search(form.line, str(error)) and "\n" not in str(error)
        return [] if said else [f"line: {error}"]
    found = sorted(zip(table["key"].to_pylist(), images.labels["label"].to_pylist(), strict=True))
    left = images.left
    differing = {
        "line": (form.line, ""),
        "listed": (form.listed, len(table)),
        "refused": (form.refused, left.not_listed),
        "unlabelled": (form.unlabelled, left.not_labelled),
        "labels": (form.labels or None, [label for _, label in found] if form.labels else None),
        "keys": (form.keys, left.label_keys),
    }
    wrong = [
        f"{name}: {found} instead of {expected}" for name, (expected, found) in differing.items() if expected != found
    ]
    count = len(table) + sum(left.not_listed.values())
    return wrong + (["sum"] if form in FOLDERS.values() and count != entries(Path(config.images)) else [])


@pytest.mark.parametrize("name", FORMS)
def test_every_entry_is_listed_or_counted_or_one_line_says_why_not(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder(monkeypatch, FORMS[name].decoder)
    assert broken(FORMS[name], config(FORMS[name], tmp_path)) == []


def wrong(name: str, tmp_path: Path) -> set[str]:
    return {fault.split(":")[0] for fault in broken(FORMS[name], config(FORMS[name], tmp_path))}


def test_mutant_links_left_out_in_silence_break_the_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_inside", lambda root, entry, scan: None if entry.is_symlink() else entry.path)
    assert wrong("links", tmp_path) == {"refused", "sum"}


def test_mutant_floats_that_are_no_labels_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_values, "text", lambda value, names=None: (value if isinstance(value, str) else None, ""))
    assert wrong("floats", tmp_path) == {"labels", "unlabelled"}


def test_mutant_a_label_table_that_need_not_match_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_names, "check_names", lambda *table: "")
    assert "line" in wrong("labels: none", tmp_path)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that any user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def closed(*places: tuple[Path, int]) -> Iterator[None]:
    """Take rights from folders for the length of the block, and root's power to pass them over."""
    user = os.geteuid()
    for place, mode in places:
        place.chmod(mode)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for place, _ in places:
            place.chmod(0o755)


NONE, NAMES = 0o000, 0o444
"""Nothing of a folder, or the names in it alone."""


@pytest.mark.parametrize("mode", [NONE, NAMES])
def test_images_in_a_folder_without_permission_are_kept(open_to_all: Path, mode: int) -> None:
    root = write_folder(open_to_all, PAIR)
    before = listing(open_source(root))
    with closed((root / "dog", mode)):
        after = listing(open_source(root), before)
        fresh = listing(open_source(root))
    assert after["removed"].to_pylist() == [False, False]
    assert about(after).refused == {"no-permission": 1}
    assert fresh["key"].to_pylist() == ["cat/1.png"]
    assert about(fresh).refused == {"no-permission": 1}


def test_a_root_without_permission_is_one_line(open_to_all: Path) -> None:
    root = write_folder(open_to_all / "in", PAIR)
    with closed((root, NONE)), pytest.raises(UsageError, match=r"cannot list .*: Permission denied"):
        open_source(root)
    with (
        closed((root / "cat", NONE), (root / "dog", NONE)),
        pytest.raises(UsageError, match="2 folders without permission"),
    ):
        open_source(root)


def test_mutant_without_keeping_them_they_are_gone(open_to_all: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(open_to_all, PAIR)
    before = listing(open_source(root))
    monkeypatch.setattr(folder, "_close", lambda prefix, scan: None)
    with closed((root / "dog", NONE)):
        assert sorted(listing(open_source(root), before)["removed"].to_pylist()) == [False, True]


def test_unchanged_containers_keep_their_counts(tmp_path: Path) -> None:
    source = open_source(TARS["json fractions"].make(tmp_path))
    first = listing(source)
    again = listing(source, first)
    assert again.equals(first, check_metadata=True)
    assert about(again).unlabelled == {"label-not-whole": 1}


def test_every_reason_has_words_and_every_word_a_reason() -> None:
    assert left_out.words({"heif": 1, "hidden": 1_200}) == [
        "1 HEIC file: pip install 'actlas[heif]'",
        "1,200 hidden files: rename what is an image: its name begins with a dot",
    ]
    assert left_out.words({"of a later version": 2, "heif": 0}) == ["2 of a later version"]
    used = {reason for form in FORMS.values() for reason in (*form.refused, *form.unlabelled)} | {"no-permission"}
    assert used <= set(left_out.REASONS)
    assert set(left_out.REASONS) - used == {"sparse"}
