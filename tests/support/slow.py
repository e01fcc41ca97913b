"""The small model of corpus.py, taking its time over every full batch: something to interrupt, stop and overtake.

How long is said by the environment, so the same run is quick where the variable is not set, and makes the same bytes.
"""

from __future__ import annotations

import os
import time

from torch import Tensor, nn

from support import corpus

SECONDS = "ACTLAS_TEST_SECONDS_PER_BATCH"
BATCH = 8


def net() -> nn.Module:
    module = corpus.net()
    module.features[0].register_forward_pre_hook(_linger)
    return module


def _linger(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if len(inputs[0]) == BATCH:
        time.sleep(float(os.environ.get(SECONDS, "0")))
