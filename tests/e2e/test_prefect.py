"""The Prefect flow makes the same bytes as the inline engine, with a server that the test starts and stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import corpus
from support.trees import tree

from flows import pipeline
from flows.engines import Inline
from storage.errors import Unreadable


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    import flows.prefect_flow  # noqa: F401 -- sets what Prefect reads when it is first imported

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.usefixtures("server")
def test_prefect_and_inline_make_the_same_trees(tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client

    from flows import prefect_flow

    images = corpus.write_images(tmp_path / "images", 24)
    pipeline.run(corpus.config(images, tmp_path / "inline"), Inline())
    summary = prefect_flow.run(corpus.config(images, tmp_path / "prefect"))
    assert summary["version"] == 1
    assert tree(tmp_path / "prefect") == tree(tmp_path / "inline")
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts()
        assert {artifact.type for artifact in artifacts} == {"progress", "markdown", "table", "image"}
        assert {run.state_name for run in client.read_task_runs()} == {"Completed"}


@pytest.mark.usefixtures("server")
def test_what_may_pass_is_tried_again_and_what_cannot_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import prefect_flow

    calls: list[type[Exception]] = []
    failing: type[Exception] = Unreadable

    def execute(work: object) -> list[object]:
        calls.append(failing)
        raise failing("as planned")

    monkeypatch.setattr(prefect_flow.stages, "execute", execute)
    task = prefect_flow.perform.with_options(retry_delay_seconds=0)
    for failing, attempts in ((Unreadable, 3), (ValueError, 1)):
        calls.clear()
        with pytest.raises(failing):
            task({"stage": "cells", "store": "s", "makes": [], "reads": {}, "how": {}})
        assert len(calls) == attempts
