"""Text files of any editor, and settings that no file can have as its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import config
from flows.stages.shared import label_table
from storage import texts
from storage.errors import UsageError

TABLE = 'key,label\r\n"a\nb.png",cät\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_text_of_any_editor_is_read(encoding: str, tmp_path: Path) -> None:
    """With the mark that an editor writes, if it writes one, and with line ends inside of fields as they are."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (tmp_path / "labels.csv").write_bytes(mark + TABLE.encode(encoding))
    assert texts.read(tmp_path / "labels.csv") == TABLE
    assert label_table.read(str(tmp_path / "labels.csv")).labels == {"a\nb.png": "cät"}
    (tmp_path / "run.toml").write_bytes(mark + 'images = "bäume"\r\nseed = 3\r\n'.encode(encoding))
    made = config.make({}, str(tmp_path / "run.toml"))
    assert (made.images, made.seed) == ("bäume", 3)


def test_mutant_text_of_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(TABLE.encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        texts.read(tmp_path / "labels.csv")


@pytest.mark.parametrize("name", ["images", "store", "weights", "labels", "classes", "name"])
def test_a_null_character_is_refused_in_every_setting(name: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        f'images = "x"\n{name} = "a\\u0000b"\n'.replace('images = "x"\nimages', "images")
    )
    with pytest.raises(UsageError, match=f"^--{name} has a null character"):
        config.make({}, str(tmp_path / "run.toml"))
