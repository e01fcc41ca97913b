"""Listing: list the images with their permanent ids; and their labels beside it."""

from __future__ import annotations

import hashlib
import io
import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas.arrays import Int
from flows import registry
from flows.config import RunConfig
from flows.planning.tasks import Outcome, Output
from flows.stages.shared import contents, label_table, reading
from flows.stages.shared.label_table import LabelTable
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import tables
from storage.errors import Damaged, Incomplete, UsageError
from storage.images import labels as label_values
from storage.images import listing
from storage.images.contract import Source
from storage.store.store import Result, Store, stage_key

FILE, ABOUT = "images.parquet", "source.json"

log = logging.getLogger(__name__)


def list_images(store: Store, config: RunConfig) -> tuple[Outcome, pa.Table]:
    """List the source; images of an earlier listing keep their ids. Equal content gives the same result."""
    source = reading.source_of(config)
    # One at a time per source, or two runs could give the same new ids to different images.
    with store.lock(f"listing-{hashlib.sha256(source.uri.encode()).hexdigest()[:16]}", wait=True):
        return _list(store, config, source)


def _list(store: Store, config: RunConfig, source: Source) -> tuple[Outcome, pa.Table]:
    output, table = plan_listing(store, config)
    stored = store.find("listing", output.key)
    if stored is not None:
        return Outcome(output=output, manifest=stored.digest, computed=False), table
    return write(store, output, table, source), table


def plan_listing(store: Store, config: RunConfig) -> tuple[Output, pa.Table]:
    """List the source and write nothing; return the planned output, and its rows with their labels."""
    source = reading.source_of(config)
    before = _latest(store, source)
    known = tables.read_table(before.file(FILE)) if before else None
    table = _list_again(store, config, source, known) if known is not None else listing.listing(source)
    if not len(table):
        raise UsageError(
            f"--images {config.images}: no images found; a folder of images, tars or Parquet files is expected"
        )
    return Output(stage="listing", key=_key(source.uri, table)), table


def _list_again(store: Store, config: RunConfig, source: Source, known: pa.Table) -> pa.Table:
    """List a source whose images are known; those that moved are found by their content."""
    known = listing.completed(known)
    return listing.listing(source, known, contents.known(store, config, (source.uri, source.kind), known))


def write(store: Store, output: Output, table: pa.Table, source: Source) -> Outcome:
    """Write a listing with copies to repair it from: it alone has the ids, and all results use them."""
    with drafting(store, output) as draft:
        tables.write_table(draft.path / FILE, table, row_group_size=4096)
        draft.json(ABOUT, {"uri": source.uri, "kind": source.kind})
        draft.counts = {"images": len(table), "number": listing.about(table).number}
        draft.twice = (FILE, ABOUT)
    return outcome(draft)


def list_labels(store: Store, output: Output, labels: pa.Table) -> Outcome:
    """Write the labels."""
    stored = store.find("labels", output.key)
    if stored is not None:
        return Outcome(output=output, manifest=stored.digest, computed=False)
    with drafting(store, output) as draft:
        tables.write_table(draft.path / "labels.parquet", labels, row_group_size=4096)
        draft.counts = {"images": len(labels)}
    return outcome(draft)


def plan_labels(config: RunConfig, table: pa.Table) -> tuple[Output, pa.Table, LabelTable | None]:
    """Look up the labels of a listing's images: those of the source, or of `--labels FILE` where it has them.

    Return the planned output, the labels, and the label table; nothing is written.
    """
    labels, given = table.select(["image_id", "label"]).replace_schema_metadata(None), None
    if config.labels:
        keys = table["key"].to_pylist()
        given = label_table.read(config.labels).of_images(keys)
        column = [given.labels.get(key, label) for key, label in zip(keys, labels["label"].to_pylist(), strict=True)]
        labels = labels.set_column(1, "label", pa.array(column, pa.large_string()))
    labels = _named(labels, reading.source_of(config))
    return Output(stage="labels", key=_key("", labels)), labels, given


def _named(labels: pa.Table, source: Source) -> pa.Table:
    """Return the labels with the names of those that are WordNet ids; the ids go to a column of their own."""
    given = labels["label"]
    names = label_values.names_of(
        pc.unique(given).drop_null().to_pylist(), source.root if isinstance(source.root, Path) else None
    )
    if not names:
        return labels
    ids, values = pa.array(list(names), given.type), pa.array(list(names.values()), given.type)
    at = pc.index_in(given, value_set=ids)
    shown = pc.coalesce(values.take(at.combine_chunks()), given.combine_chunks())
    return labels.set_column(1, "label", shown).append_column("label_id", ids.take(at.combine_chunks()))


def _key(uri: str, table: pa.Table) -> str:
    stage = registry.stage("listing" if uri else "labels")
    return stage_key(stage.name, stage.code, {}, {"uri": uri, "rows": _digest(table)})


def _digest(table: pa.Table) -> str:
    sink = io.BytesIO()
    table = table.combine_chunks()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getbuffer()).hexdigest()


def _latest(store: Store, source: Source) -> Result | None:
    """Return the last listing of this source: that with most images, since none drops an image, then by its number.

    A source of another kind at the same place is another source. Listings whose source can't be read are skipped with
    a warning. Raises Damaged if a run of this source was made from one, since its images would get other ids.
    """
    place = (source.uri, source.kind)
    published = _published(store, place)
    of_source = [result for result in store.results("listing") if _place(result, result.key in published) == place]
    for key, run in published.items():
        try:
            store.get("listing", key)
        except Incomplete:
            log.warning(
                "run %s was made from listing %s, which is lost: images that it alone listed get new ids", run, key
            )
    return max(of_source, key=_order, default=None)


def _order(result: Result) -> tuple[int, int, str]:
    return result.counts["images"], result.counts.get("number", -1), result.key


def _place(result: Result, needed: bool) -> tuple[str, str] | None:
    """Return the address and kind of a listing's source; None if that is damaged and no run needs it."""
    try:
        source = result.record(ABOUT)
    except Damaged as damage:
        if needed:
            raise
        log.warning("%s; this listing is skipped", damage)
        return None
    return source["uri"], source["kind"]


def _published(store: Store, place: tuple[str, str]) -> dict[str, str]:
    """Return the listings that the current versions of a source's runs were made from, by key, each with its run."""
    runs: dict[str, str] = {}
    for run in store.names():
        with suppress(Damaged):  # opening that run reports it
            version = store.version(run)
            if (version.about.get("images"), version.about.get("kind")) == place:
                runs |= {entry.key: run for entry in version.stages if entry.stage == "listing"}
    return runs


def read(store: Store, key: str, first: int = 0, stop: int | None = None) -> pa.Table:
    """Return the rows of a listing with first ≤ image_id < stop, without labels."""
    result = store.get("listing", key)
    columns = [name for name in tables.names(result.file(FILE)) if name != "label"]
    span = (first, result.counts["images"] if stop is None else stop)
    return tables.read_table(result.file(FILE), columns, rows=span)


def key_hashes(store: Store, key: str, image_id: Int) -> NDArray[np.uint64]:
    """Return the key hashes of these images, `n`: they are the same in every listing."""
    hashes: NDArray[np.uint64] = read(store, key)["key_hash"].to_numpy()
    return hashes[image_id]
