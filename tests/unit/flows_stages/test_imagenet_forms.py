"""ImageNet in each form that people have: the same images, the same labels by id and by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import imagenet
from support.datasets import write_folder, write_tar

from flows.config import RunConfig
from flows.stages import image_listing
from flows.stages.shared import label_files, reading
from storage.errors import UsageError
from storage.images import labels as label_values
from storage.images import tars
from storage.images.sources import open_source, read
from storage.store.store import Store

Labels = dict[str, tuple[str | None, str | None]]

TRAINING = {
    name.split("/")[1]: (imagenet.SHOWN[name.split("/")[0]], name.split("/")[0]) for name in imagenet.training()
}
VALIDATION = {f"{name}.JPEG": (imagenet.SHOWN[identity], identity) for name, identity in imagenet.validation().items()}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    reading.forget()
    yield
    reading.forget()


def labelled(images: Path, store: Path, labels: Path | None = None) -> Labels:
    """List a source; return the name and the id of each image's label, by file name."""
    config = RunConfig(images=str(images), labels=str(labels) if labels else None, store=str(store), layers=("x",))
    _, table = image_listing.plan_listing(Store(store), config)
    _, found, _ = image_listing.plan_labels(config, table)
    files = [key.rpartition("/")[2] for key in table["key"].to_pylist()]
    ids = found["label_id"].to_pylist() if "label_id" in found.column_names else [None] * len(files)
    return dict(zip(files, zip(found["label"].to_pylist(), ids, strict=True), strict=True))


@pytest.mark.parametrize("form", [imagenet.folders, imagenet.training_tar])
def test_training_images_are_labelled_by_their_folders(form: Callable[[Path], Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/LOC_synset_mapping.txt").write_text(imagenet.MAPPING)
    assert labelled(form(tmp_path / "in"), tmp_path / "s") == TRAINING


def test_images_of_tars_inside_a_tar_have_their_bytes(tmp_path: Path) -> None:
    source = open_source(imagenet.training_tar(tmp_path))
    table = image_listing.listing.listing(source)
    found = {table["key"][i].as_py().partition("/")[2].replace(".tar/", "/"): data for i, data in read(source, table)}
    assert found == imagenet.training()


def test_what_is_wrong_inside_a_tar_of_tars_is_counted(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "i.tar", [("a.JPEG", b"1"), ("notes.md", b"x"), ("../up.JPEG", b"2")]).read_bytes()
    outer = [("n01440764.tar", inner), ("broken.tar", b"no tar"), ("cut.tar", inner[:1536]), ("loose.JPEG", b"3")]
    table = image_listing.listing.listing(open_source(write_tar(tmp_path / "o.tar", outer)))
    assert sorted(table["key"].to_pylist()) == [
        "o.tar/cut.tar/a.JPEG",
        "o.tar/loose.JPEG",
        "o.tar/n01440764.tar/a.JPEG",
    ]
    refused = image_listing.listing.about(table).refused
    assert refused == {"archive": 1, "not-an-image-name": 2, "outside": 1, "cut-short": 1}


@pytest.mark.parametrize("form", [imagenet.validation_folder, imagenet.validation_tar])
@pytest.mark.parametrize("kind", ["solution", "truth", "table", "list"])
def test_validation_images_are_labelled_by_a_file(form: Callable[[Path], Path], kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/synset_words.txt").write_text(imagenet.MAPPING)
    assert labelled(form(tmp_path / "in"), tmp_path / "s", label_file(kind, tmp_path / "labels")) == VALIDATION


def label_file(kind: str, folder: Path) -> Path:
    if kind == "truth":
        return imagenet.development_kit(folder)
    pairs = imagenet.validation().items()
    texts = {
        "solution": imagenet.solution(),
        "table": "filename,class\n" + "".join(f"{name}.JPEG,{identity}\n" for name, identity in pairs),
        "list": "".join(f"{name}.JPEG {identity}\n" for name, identity in pairs),
    }
    return write_folder(folder, {"labels.csv": texts[kind].encode()}) / "labels.csv"


def test_the_tree_of_kaggle(tmp_path: Path) -> None:
    root = imagenet.kaggle(tmp_path / "k")
    found = labelled(root / "ILSVRC/Data/CLS-LOC", tmp_path / "s", root / "LOC_val_solution.csv")
    assert found == TRAINING | VALIDATION


def test_parquet_has_names_of_its_own(tmp_path: Path) -> None:
    found = labelled(imagenet.hugging_face(tmp_path), tmp_path / "s")
    assert sorted(set(found.values()), key=str) == [
        (name, None) for name in ("Chihuahua", "crane", "tench, Tinca tinca")
    ]


@pytest.mark.parametrize("file", ["LOC_synset_mapping.txt", "words.txt", "imagenet_class_index.json", ""])
def test_names_come_from_a_file_beside_the_images_or_from_timm(file: str, tmp_path: Path) -> None:
    texts = {"words.txt": imagenet.MAPPING.replace(" ", "\t", 1), "imagenet_class_index.json": imagenet.class_index()}
    if file:
        (tmp_path / file).write_text(texts.get(file, imagenet.MAPPING))
    found = label_values.names_of([*imagenet.CLASSES, "other", "n99999999"], tmp_path)
    assert {**imagenet.SHOWN, **found} == found == imagenet.SHOWN


def test_a_name_that_is_also_a_label_keeps_its_id(tmp_path: Path) -> None:
    assert label_values.names_of(["n01440764", "tench"], None) == {"n01440764": "tench (n01440764)"}


def test_labels_without_wordnet_ids_are_as_they_were(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", {"cat/1.png": b"x", "n123/2.png": b"y", "n01440764x/3.png": b"z"})
    found = labelled(tmp_path / "in", tmp_path / "s")
    assert found == {"1.png": ("cat", None), "2.png": ("n123", None), "3.png": ("n01440764x", None)}


def test_the_folder_of_a_wordnet_id_counts_wherever_it_is(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", {"train/n01440764/1.JPEG": b"x", "train/other/2.JPEG": b"y"})
    found = labelled(tmp_path / "in", tmp_path / "s")
    assert found == {"1.JPEG": ("tench", "n01440764"), "2.JPEG": ("train", None)}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1\n2\n3\n", "needs the `meta.mat` of its development kit beside it"),
        ("who,what\na,b\n", "needs the columns key and label, has who, what; other names for key are path"),
        ("key\na\n", "needs the columns key and label, has key; other names for label are class"),
        ("key,label\na\n", "the row of 'a' has no label"),
        ("key,label\na.JPEG,x\na.JPEG,y\n", "'a.JPEG' has two labels, 'x' and 'y'"),
        ("", "is not a CSV file: it is empty"),
    ],
)
def test_a_label_file_of_another_kind_is_refused_in_a_line(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(UsageError, match=line):
        label_files.read(str(tmp_path / "l.csv"))


def test_numbers_beyond_the_development_kit_are_refused(tmp_path: Path) -> None:
    file = imagenet.development_kit(tmp_path)
    file.write_text("1\n5\n")
    with pytest.raises(UsageError, match=r"meta\.mat has no class 5"):
        label_files.read(str(file))
    (tmp_path / "meta.mat").write_bytes(b"not a matrix")
    with pytest.raises(UsageError, match=r"is not the `meta\.mat`"):
        label_files.read(str(file))


def test_a_file_name_of_two_images_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", {"a/1.png": b"x", "b/1.png": b"y"})
    (tmp_path / "l.csv").write_text("key,label\n1.png,cat\n")
    with pytest.raises(UsageError, match=r"'1.png' names '[ab]/1.png' and '[ab]/1.png'; give whole keys"):
        labelled(tmp_path / "in", tmp_path / "s", tmp_path / "l.csv")


def test_mutant_tars_inside_a_tar_that_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "_members", tars.members)
    with pytest.raises(UsageError, match=r"no images in .* 4 archives"):
        labelled(imagenet.training_tar(tmp_path), tmp_path / "s")


def test_mutant_offsets_of_the_inner_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tars,
        "replace",
        lambda member, offset, **changes: tars.Member(changes["name"], member.offset, member.size, member.refused),
    )
    with pytest.raises(AssertionError):
        test_images_of_tars_inside_a_tar_have_their_bytes(tmp_path)


def test_mutant_names_that_two_classes_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_values, "Counter", lambda words: dict.fromkeys(words, 1))
    assert label_values.names_of(imagenet.CLASSES, None)["n02012849"] == "crane"
