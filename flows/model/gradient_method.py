"""Choose a gradient method that is defined for a model."""

from __future__ import annotations

import torch

from atlas.attribution import patch_gradients
from atlas.attribution.guided_backprop import UndefinedMethodError
from flows.model.prepared import PreparedModel
from storage.errors import UsageError

PREFERRED = "guided-backprop"
"""The default method, where it is defined for the layer."""


def choose(prepared: PreparedModel, layer: str, requested: str | None) -> str:
    """Return the requested method, or by default guided backpropagation where it is defined for the layer.

    Raises UsageError where the requested method is not defined.
    """
    blank = prepared.plain_input(torch.from_numpy(prepared.model.preprocess.blank(1)))
    method = requested or PREFERRED
    try:
        patch_gradients.check_method(prepared.module_exposing([layer]), blank, prepared.layers[layer], method)
    except UndefinedMethodError as error:
        if requested is not None:
            raise UsageError(str(error)) from None
        return "gradient"
    return method
