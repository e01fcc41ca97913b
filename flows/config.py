"""Name, check and default the settings of a run; no other module does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from flows import registry
from storage import addresses, folders, texts
from storage.errors import UsageError
from storage.models import specs
from storage.store.places import checked_root

DEFAULT_MODEL = "efficientnet-lite0"
DEFAULT_LAYERS = ("_blocks.4", "_blocks.10", "_blocks.14", "_conv_head")


def _one_of(names: Callable[[], list[str]]) -> Callable[[str], str]:
    """Return a validator: the setting is one of these names."""

    def check(value: str) -> str:
        if value not in names():
            raise ValueError(f"write one of {', '.join(names())}")
        return value

    return check


Step = Annotated[
    str, AfterValidator(_one_of(registry.steps)), WithJsonSchema({"type": "string", "enum": registry.steps()})
]


def extra_names() -> list[str]:
    """Return the words that `--with` takes: the extras, and the one for all of them."""
    return [*registry.extras(), registry.EVERYTHING]


Extra = Annotated[str, AfterValidator(_one_of(extra_names)), WithJsonSchema({"type": "string", "enum": extra_names()})]
Layout = Annotated[
    str, AfterValidator(_one_of(registry.layouts)), WithJsonSchema({"type": "string", "enum": registry.layouts()})
]
"""Names from the registry. The schema lists them, so that Prefect's form offers a choice."""


DEVICE = re.compile(r"auto|cpu|cuda(:(0|[1-9]\d*))?")


def _device(value: str) -> str:
    if not DEVICE.fullmatch(value):
        raise ValueError("write auto, cpu, cuda or, of several GPUs, cuda:N")
    return value


Device = Annotated[str, AfterValidator(_device), WithJsonSchema({"type": "string", "pattern": f"^({DEVICE.pattern})$"})]


class RunConfig(BaseModel):
    """A run: its source of images, its model and layers, and its settings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    images: str = Field(default="", description="a folder, WebDataset tars, Parquet with image bytes, or sample-photos")
    image_column: str | None = Field(
        default=None, min_length=1, description="the column of Parquet files with the images' bytes"
    )
    store: str = Field(default="actlas-store", description="the folder that keeps all results")
    name: str = Field(default="", description="the run's name; the model's name if left out")
    limit: int | None = Field(
        default=None, ge=1, description="use the first N images that are there, in the order of their hash"
    )
    grow: int | None = Field(
        default=None, ge=1, description="use N images more than the run's last version, until all are in"
    )
    image_keys: str | None = Field(
        default=None, alias="keys", description="a text file with the key of an image per line: use these"
    )
    where: str | None = Field(
        default=None, min_length=1, description="a condition in SQL on key, name, label, label_id, bytes and --table"
    )
    of: str | None = Field(
        default=None,
        min_length=1,
        description="NAME or NAME@VERSION of a run whose samples are used; instead of images",
    )
    of_class: str | None = Field(
        default=None, alias="class", min_length=1, description="with of: the samples that speak most for this class"
    )
    against: str | None = Field(
        default=None, min_length=1, description="with class: this class, too; one to the left, one to the right"
    )
    strongest: int | None = Field(default=None, ge=1, description="with class: samples of each layer, 2000 if left out")
    table: str | None = Field(default=None, description="a Parquet or CSV file with a column key: columns for --where")
    per_label: int | None = Field(default=None, ge=1, description="use N images of each label, by their hash")
    sample: int | None = Field(default=None, ge=1, description="use N of the images, by their hash")
    labels: str | None = Field(
        default=None,
        description="a table with the columns key and label, LOC_val_solution.csv, or ImageNet's ground truth",
    )
    max_rejected: float = Field(
        default=0.05, ge=0, le=1, description="share of broken images above which nothing is published"
    )
    until: Step | None = Field(default=None, description="stop after this stage and publish what there is")

    model: str = Field(
        default=DEFAULT_MODEL, description="efficientnet-lite0, torchvision:NAME, timm:NAME, … or module:factory"
    )
    weights: str | None = Field(
        default=None, description="safetensors or state dict; `random` for seeded random weights"
    )
    layers: tuple[str, ...] = Field(default=(), description="dotted module paths; `actlas layers MODEL` lists them")
    axes: dict[str, str] = Field(
        default_factory=dict, description="layers whose axes cannot be told: bchw, bhwc, btc or bc"
    )
    input_size: int | None = Field(default=None, ge=1, description="side of the model's input in pixels")
    mean: tuple[float, ...] | None = Field(default=None, description="per channel, of pixels in 0..1")
    std: tuple[float, ...] | None = Field(default=None, description="per channel, of pixels in 0..1")
    classes: str | None = Field(default=None, description="a text file with one class name per line")
    logits: str | None = Field(
        default=None, description="the tensor of the model's output with the class scores: its name or index"
    )
    allow_varying: bool = Field(
        default=False,
        description="go on with a model whose values for an image depend on the batch, the call or chance",
    )

    seed: int = Field(default=0, ge=-(2**63), lt=2**63, description="of sampled positions, layout and icons")
    shard_size: int = Field(default=1000, ge=1, description="images per shard: the unit of work and of resuming")
    samples_per_image: int = Field(default=1, ge=1, description="vectors sampled per image and layer")
    patches_per_image: int = Field(
        default=1, ge=1, description="patches one image may have among the strongest of a unit"
    )
    batch: int | None = Field(default=None, ge=1, description="images per forward pass; 32 on CPU, 128 on CUDA")
    device: Device = Field(default="auto", description="auto, cpu, cuda, or one of several GPUs: cuda:N")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"

    layout: Layout = "umap"
    grids: tuple[int, ...] = Field(
        default=(10, 20, 40), description="cells per side; made where the samples can fill it"
    )
    min_count: int = Field(default=5, ge=1, description="samples a cell needs")
    recipe: Literal["fast", "best", "distill"] = Field(default="fast", description="how icons are rendered")
    icon_size: int = Field(default=96, ge=16, le=512, description="side of an icon in pixels")
    icon_tries: int = Field(default=3, ge=1, description="how often a weak icon is rendered")

    extras: tuple[Extra, ...] = Field(default=(), alias="with", description="stages made only when asked for")
    keep: tuple[str, ...] = Field(
        default=(), description="peaks, or peaks and layers: the best value of each unit in each image is kept"
    )
    attribution_per_cell: int | None = Field(
        default=None, ge=1, description="samples of a cell that are attributed to classes; all of them if left out"
    )
    encoder: str | None = Field(default=None, min_length=1, description="with meaning: dino, if left out, or conse, …")
    gradients_method: Literal["gradient", "guided-backprop", "deconvnet"] | None = Field(
        default=None, description="how patches get their gradient; guided-backprop where it is defined, else gradient"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_secret(cls, value: Any, field: ValidationInfo) -> Any:
        """Refuse passwords and signatures: settings are stored in versions, and Prefect shows them."""
        name = cls.model_fields[str(field.field_name)].alias or str(field.field_name)
        option = f"--{name.replace('_', '-')}"
        addresses.check(option, value)
        if "\0" in str(value):
            raise UsageError(f"{option} has a null character in it, which no name of a file has")
        return value

    @field_validator("grids")
    @classmethod
    def _grids(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(not 1 <= grid <= 512 for grid in value):
            raise ValueError(f"grids must be one or more numbers from 1 to 512, not {list(value)}")
        return tuple(sorted(set(value)))

    @field_validator("store")
    @classmethod
    def _store(cls, value: str) -> str:
        checked_root(Path(value))
        folders.check("--store", value)
        return value

    @field_validator("keep")
    @classmethod
    def _keep(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and value[0] not in registry.kept():
            raise ValueError(f"it is {' or '.join(registry.kept())}, alone or before the layers to keep them of")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _condition(self) -> RunConfig:
        if self.table is not None and self.where is None:
            raise ValueError(f"--table {self.table} gives columns to --where: give a condition, too")
        return self

    @model_validator(mode="after")
    def _source(self) -> RunConfig:
        if self.of is None and "images" not in self.model_fields_set:
            raise ValueError("--images is missing: a folder, WebDataset tars, Parquet, or sample-photos")
        for name in ("of_class", "against", "strongest"):
            needed = "of" if name == "of_class" else "of_class"
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ValueError(f"{option(name)} {getattr(self, name)} needs {option(needed)}")
        if self.of is not None and not self.name:
            raise ValueError(f"--name is missing: what --of {self.of} selects becomes a run of its own")
        return self

    @model_validator(mode="after")
    def _peaks(self) -> RunConfig:
        if self.keep and self.patches_per_image > 1:
            raise ValueError(
                f"--keep peaks keeps one patch per image, but patches_per_image of --config is {self.patches_per_image}; drop one"
            )
        chosen = self.layers or (DEFAULT_LAYERS if self.model == DEFAULT_MODEL else self.keep[1:])
        for layer in self.keep[1:]:
            if layer not in chosen:
                raise ValueError(f"--keep peaks {layer}: not one of the run's layers, {', '.join(chosen)}")
        return self

    @property
    def peak_layers(self) -> tuple[str, ...]:
        """The layers whose peaks are kept."""
        return (self.keep[1:] or self.chosen_layers) if self.keep else ()

    @property
    def run_name(self) -> str:
        return self.name or self.model.replace(":", "-").replace("/", "-")

    @property
    def listing(self) -> str:
        """The command that lists the model's layers."""
        return specs.listing(self.model, self.weights, self.input_size)

    @property
    def chosen_layers(self) -> tuple[str, ...]:
        """The layers to analyse; only the default model has default layers."""
        if self.layers:
            return tuple(dict.fromkeys(self.layers))
        if self.model == DEFAULT_MODEL:
            return DEFAULT_LAYERS
        raise UsageError(f"--layers is missing: `{self.listing}` lists the layers to choose from")


SELECTING = ("of", "of_class", "against", "strongest", "where")
"""Settings that select among the samples of a run."""

OF_A_SELECTION = (
    *(*SELECTING, "store", "name", "layers", "until", "max_rejected", "layout", "grids", "min_count", "recipe"),
    *("icon_size", "icon_tries", "extras", "attribution_per_cell", "device", "batch"),
)
"""Settings that a selection may have of its own; all others are those of its source."""


def option(name: str) -> str:
    """Return a setting as the command line spells it."""
    return f"--{(RunConfig.model_fields[name].alias or name).replace('_', '-')}"


def make(settings: dict[str, Any], file: str | None = None) -> RunConfig:
    """Return the configuration: settings override those of a TOML file. Raises UsageError naming the wrong setting."""
    merged = (_read(file) if file else {}) | {name: value for name, value in settings.items() if value is not None}
    if "images" in merged and "of" in merged:
        raise UsageError(
            f"--images {merged['images']} with --of {merged['of']}: the samples of that run are used, and no image is; drop one"
        )
    try:
        return RunConfig(**merged)
    except ValidationError as error:
        raise UsageError("; ".join(_explain(item) for item in error.errors())) from None


def _read(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(texts.read(file).replace("\r\n", "\n"))
    except OSError as error:
        raise UsageError(f"--config {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {file} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config {file} is not TOML: {error}") from None


def _explain(item: Any) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:  # of several settings, which it names
        return message
    option = "--" + str(item["loc"][0]).replace("_", "-")
    if item["type"] == "extra_forbidden":
        known = sorted(field.alias or name for name, field in RunConfig.model_fields.items())
        return f"{item['loc'][0]} is not a setting; the settings are {', '.join(known)}"
    return f"{option} is {item['input']!r}: {message}"
