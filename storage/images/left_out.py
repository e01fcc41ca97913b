"""Why a file or a label is left out: the reasons, in words, each with what would help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HEIF_SUFFIXES = frozenset({"heic", "heif", "hif", "heics", "heifs"})

_SUFFIXES = {
    "heif": HEIF_SUFFIXES,
    "jpeg-xl": {"jxl"},
    "raw": {"dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "srf", "orf", "rw2", "raf", "pef", "srw", "x3f"}
    | {"3fr", "iiq", "erf", "mef", "mos", "kdc", "dcr", "rwl", "raw"},
    "svg": {"svg", "svgz"},
    "document": {"pdf", "ps", "eps", "ai", "djvu", "xps"},
    "video": {"mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "wmv", "flv", "mts", "m2ts", "3gp", "ogv"},
    "other-format": {"psd", "psb", "xcf", "kra", "exr", "hdr", "pic", "ico", "icns", "cur", "tga", "dds", "qoi", "pcx"}
    | {"sgi", "rgb", "ras", "xpm", "xbm", "jxr", "wdp", "bpg", "flif", "fits", "fit", "fts", "dcm", "nii", "emf", "wmf"}
    | {"pfm", "pam", "jpx", "jpf", "jpm", "j2c", "jpc", "svs", "ndpi", "czi", "mrc", "lif", "nd2"},
    "archive": {"tar", "zip", "gz", "tgz", "bz2", "tbz2", "xz", "txz", "zst", "7z", "rar", "lz4"},
    "table": {"parquet", "arrow", "feather", "tfrecord", "lmdb", "mdb", "h5", "hdf5", "npz", "npy", "pkl", "mat"},
}
FORMATS = ("heif", "jpeg-xl", "raw", "svg", "document", "other-format")
"""The reasons that are formats of images."""

_BY_SUFFIX = {suffix: reason for reason, suffixes in _SUFFIXES.items() for suffix in suffixes}


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for leaving something out: the noun for one and for several, and the remedy, if there is one."""

    one: str
    several: str
    remedy: str = ""

    def words(self, count: int) -> str:
        """Return the count in words, with the remedy."""
        noun = self.one if count == 1 else self.several
        return f"{count:,} {noun}" + (f": {self.remedy}" if self.remedy else "")


NOT_LISTED = {
    "heif": Reason("HEIC file", "HEIC files", "pip install 'actlas[heif]'"),
    "jpeg-xl": Reason("JPEG XL file", "JPEG XL files", "convert to JPEG or PNG"),
    "raw": Reason("raw photo", "raw photos", "develop to JPEG, PNG or TIFF"),
    "svg": Reason("SVG drawing", "SVG drawings", "render to PNG"),
    "document": Reason("PDF or PostScript document", "PDF or PostScript documents", "render the pages to PNG"),
    "video": Reason("video", "videos", "extract frames as JPEG or PNG"),
    "other-format": Reason(
        "image of a format that is not read", "images of formats that are not read", "convert to JPEG or PNG"
    ),
    "archive": Reason("archive", "archives", "unpack, or give a .tar to --images of its own"),
    "table": Reason(
        "Parquet or array file", "Parquet or array files", "give Parquet with image bytes to --images of its own"
    ),
    "not-parquet": Reason(
        "file named .parquet that is not one, or not whole",
        "files named .parquet that are not, or not whole",
        "download or copy again (of a Git LFS pointer, by `git lfs pull`)",
    ),
    "no-suffix": Reason("file without a suffix", "files without a suffix", "name an image by its format, as in a.jpg"),
    "not-an-image-name": Reason("file not named as an image", "files not named as images"),
    "hidden": Reason("hidden file", "hidden files", "rename what is an image: its name begins with a dot"),
    "hidden-folder": Reason("hidden folder", "hidden folders", "rename what holds images: its name begins with a dot"),
    "store": Reason("store of actlas", "stores of actlas"),
    "no-permission": Reason(
        "folder without permission",
        "folders without permission",
        "give this user the right to read it; images listed there before are kept",
    ),
    "not-a-file": Reason("pipe, socket or device named as an image", "pipes, sockets or devices named as images"),
    "name-not-utf-8": Reason("name that is not UTF-8", "names that are not UTF-8", "rename to UTF-8"),
    "link-out-of-root": Reason(
        "link that points outside the folder",
        "links that point outside the folder",
        "copy there what it points to, or give that folder to --images",
    ),
    "link-loop": Reason("link to a folder above it", "links to folders above them"),
    "broken-link": Reason("broken link", "broken links", "repair or remove"),
    "outside": Reason("name that leaves its root", "names that leave their root", "pack again with relative names"),
    "link": Reason("link in a tar", "links in tars", "pack again with --dereference"),
    "device": Reason("device in a tar", "devices in tars"),
    "sparse": Reason("sparse file in a tar", "sparse files in tars", "pack again without --sparse"),
    "duplicate": Reason("member of the same name", "members of the same name", "the first counts"),
    "label-of-no-image": Reason("label file of no image", "label files of no image"),
    "cut-short": Reason("tar without its end", "tars without their end", "copy or download again"),
}
"""The reasons for not listing what is in a source."""

NOT_LABELLED = {
    "no-label": Reason("image without a label", "images without a label"),
    "not-in-table": Reason(
        "image without a row in the label table", "images without a row in the label table", "add its key and label"
    ),
    "label-not-whole": Reason(
        "label that is a fraction", "labels that are fractions", "labels are names or whole numbers"
    ),
    "label-out-of-range": Reason("label beyond the class names", "labels beyond the class names"),
    "label-of-other-type": Reason(
        "label that is neither text nor a number",
        "labels that are neither text nor numbers",
        "labels are names or whole numbers",
    ),
    "label-too-long": Reason("label file above 64 KiB", "label files above 64 KiB"),
    "label-not-utf-8": Reason("label that is not UTF-8 text", "labels that are not UTF-8 text", "save as UTF-8"),
    "label-not-json": Reason("label file that is no JSON", "label files that are no JSON", "mend the .json files"),
}
"""The reasons for an image's having no label."""

REASONS = NOT_LISTED | NOT_LABELLED


def reason_of(name: str) -> str:
    """Return the reason for not listing a file that is not named as an image that is read."""
    base = name.rpartition("/")[2]
    if base.startswith("."):
        return "hidden"
    stem, _, suffix = base.rpartition(".")
    return _BY_SUFFIX.get(suffix.lower(), "not-an-image-name") if stem else "no-suffix"


def words(counts: Mapping[str, int]) -> list[str]:
    """Return each count in words, with its remedy."""
    return [_reason(name).words(count) for name, count in sorted(counts.items()) if count]


def remedies(names: Iterable[str]) -> dict[str, str]:
    """Return the remedy of each of these reasons that has one."""
    return {name: remedy for name in sorted(set(names)) if (remedy := _reason(name).remedy)}


def _reason(name: str) -> Reason:
    """Return a reason; one that a later version has recorded speaks for itself."""
    return REASONS.get(name, Reason(name, name))
