"""The process of a flow run that `actlas serve` starts: Prefect's own, with clients that take no proxy to this machine."""

from __future__ import annotations

import runpy

from flows.scheduling import without_proxy

if __name__ == "__main__":
    without_proxy.make_direct()
    runpy.run_module("prefect.engine", run_name="__main__")
