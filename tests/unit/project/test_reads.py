"""Every read of a result verifies: no module opens a result's files but those that check the bytes."""

from __future__ import annotations

from support import house, reads

VERIFYING = ("storage.store", "storage.artefacts.arrays", "storage.artefacts.tables")
"""The store itself, and the readers that check each chunk or page."""

NOT_OF_THE_STORE = {
    "flows.allocator": "the system's list of libraries",
    "flows.commands.shared.terminal": "the null device",
    "flows.drawing.illustrator": "an image that a question names",
    "flows.drawing.natural_spectrum": "photos of the package",
    "flows.drawing.unit_pictures": "a picture in memory",
    "flows.model.context": "an image that a question names",
    "flows.model.images": "an image that a question names",
    "flows.pipeline.model_updates": "weights",
    "flows.guarded_sql": "the system's count of memory",
    "flows.sheets.top_patches": "a picture in memory",
    "flows.viewer.access_token": "the token",
    "flows.viewer.answers.build_id": "the code",
    "flows.viewer.assets": "the page",
    "flows.viewer.build": "the page's libraries",
    "flows.viewer.export": "what it writes",
    "flows.viewer.serve": "the browser",
    "storage.file_kinds": "the first bytes of what a user names",
    "storage.images": "sources",
    "storage.models": "weights",
    "storage.texts": "settings, labels and class names",
}
"""What modules and rooms read that is no result."""

EXCUSED = {"storage.artefacts.pictures": ["result.path / name"], "storage.run": ["result.path / 'overview.png'"]}
"""Paths that are shown, not read."""


def wrong(name: str, source: str) -> list[str]:
    if name.startswith((*VERIFYING, *NOT_OF_THE_STORE)):
        return []
    return [line for line in reads.by_themselves(source) if line not in EXCUSED.get(name, ())]


def test_results_are_read_by_what_verifies_them() -> None:
    found = {name: wrong(name, path.read_text()) for name, path in house.modules().items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_mutant_reads_that_verify_nothing_are_seen() -> None:
    for line in (
        "record = json.loads(result.file('model.json').read_text())",
        "data = (store.get('tiles', key).path / 'overview.png').read_bytes()",
        "group = arrays.read_group(part.path / 'samples.zarr')",
        "with open(result.path) as file: pass",
        "answer = FileResponse(result.file(name))",
        "found = pictures.decode_file(result.file('overview.png'))",
        "def f():\n    path = result.file('a.parquet')\n    return [tables.names(path), duckdb.read(path)]",
    ):
        assert wrong("flows.viewer.answers.cells", line), line


def test_reads_that_verify_are_not_seen() -> None:
    for line in (
        "record = result.record('model.json')",
        "points = arrays.read_array(result.file('layout.zarr'), 'points')",
        "arrays.write_group(draft.path / 'layout.zarr', {})",
        "def f():\n    path = result.file('a.parquet')\n    return tables.read_table(path, tables.names(path))",
    ):
        assert wrong("flows.viewer.answers.cells", line) == []
