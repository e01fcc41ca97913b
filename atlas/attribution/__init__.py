"""Attribution: which pixels a class's score or a unit's activation rests on.

A `Score` says what is explained; every method takes a module, pictures `b c h w` and a score, and gives a tensor.
"""

from atlas.attribution.gradients import gradient, gradient_x_input, integrated_gradients, smoothgrad
from atlas.attribution.methods import METHODS, Attribution, Settings, attribute
from atlas.attribution.rectifiers import UndefinedMethodError, deconvnet, guided_backprop
from atlas.attribution.scores import Score, class_logit, class_probability, unit
from atlas.attribution.weighting import grad_cam

__all__ = [
    "METHODS",
    "Attribution",
    "Score",
    "Settings",
    "UndefinedMethodError",
    "attribute",
    "class_logit",
    "class_probability",
    "deconvnet",
    "grad_cam",
    "gradient",
    "gradient_x_input",
    "guided_backprop",
    "integrated_gradients",
    "smoothgrad",
    "unit",
]
