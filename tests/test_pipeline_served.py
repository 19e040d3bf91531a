"""A whole study whose arms are sampled by servers of their weights, to its report."""

from __future__ import annotations

import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mechcot.core.errors import StudyError
from mechcot.core.files import read_json
from mechcot.core.manifest import verify
from mechcot.pipeline import run as pipeline
from mechcot.serving import LocalServer
from served_cases import sampler_file


@pytest.mark.slow
def test_a_study_that_servers_sampled_is_read_to_its_report(study: Any, tmp_path: Path) -> None:
    own, arms = tmp_path / "study", ("base", "distilled")
    shutil.copytree(study.path, own)
    with ExitStack() as running:
        servers = {
            arm: running.enter_context(LocalServer.load(str(own / "models" / arm), device="cpu"))
            for arm in arms
        }
        files = {
            arm: sampler_file(tmp_path / f"{arm}.yaml", servers[arm].url, model=arm, concurrency=4)
            for arm in arms
        }
        named = tuple(f"arms.{arm}.server={files[arm]}" for arm in arms)
        with pytest.raises(StudyError, match=r"arms\.base\.server: was None"):
            pipeline.run(own, overrides=named, progress=False)
        done = pipeline.run(own, overrides=named, restart_from="sample-base", progress=False)
    for arm in arms:
        before, after = study.traces(arm), done.traces(arm)
        assert list(after.qid) == list(before.qid)
        assert [list(ids) for ids in after.prompt_ids] == [list(ids) for ids in before.prompt_ids]
        assert (after.text != before.text).mean() > 0.5  # other draws
        told = read_json(done.arm_path(arm) / "server.json")
        assert told["recomputed"]["mean_absolute"] < 1e-3
        assert told["samples_of_a_request"] == 4
        assert abs((after.answer == -1).mean() - (before.answer == -1).mean()) < 0.15
    shift = (
        done.summary()["answers"]["distilled"]["accuracy"]
        - study.summary()["answers"]["distilled"]["accuracy"]
    )
    assert abs(shift) < 0.15

    page = (own / "report.html").read_text()
    assert "Arms that a server sampled" in page
    for arm in arms:
        url = servers[arm].url.removeprefix("http://")
        assert re.search(rf"<td>{arm}</td>\s*<td>{arm}</td>\s*<td>{url}</td>\s*<td>52 of 52</td>", page)
    assert verify(own) == []
