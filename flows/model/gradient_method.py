"""Choose the gradient method that a model allows."""

from __future__ import annotations

import torch

from atlas.attribution import patches as patch_gradients
from atlas.attribution.guided_backprop import UndefinedMethodError
from flows.model.prepared import PreparedModel
from storage.errors import UsageError

PREFERRED = "guided-backprop"
"""The method where none is asked for and the layer has a rule for it."""


def choose(subj: PreparedModel, layer: str, asked: str | None) -> str:
    """Return the method for a layer: the one asked for, or else guided backpropagation where it is defined.

    Raises UsageError where the one asked for is not defined.
    """
    blank = subj.plain_input(torch.from_numpy(subj.model.preprocess.blank(1)))
    method = asked or PREFERRED
    try:
        patch_gradients.check_method(subj.through([layer]), blank, subj.layers[layer], method)
    except UndefinedMethodError as error:
        if asked is not None:
            raise UsageError(str(error)) from None
        return "gradient"
    return method
