"""What a worker says of itself before work starts, and what is then refused; no cluster is needed for it."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from mechcot.core import remade
from mechcot.core.cluster import _refuse_other, workers_of
from mechcot.core.engine_settings import EngineSettings
from mechcot.core.job import WorkError
from mechcot.core.worker import Worker


@pytest.fixture
def worker() -> Worker:
    return Worker(remade.packed(dict))


def test_a_worker_that_sees_everything_is_taken(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("token")
    about = worker.about(str(tmp_path / "seen"), [str(tmp_path)])
    assert (about["sees"], about["lacks"]) == ("token", [])
    _refuse_other(about, tmp_path, "token")


def test_a_folder_that_it_does_not_share_is_refused(worker: Worker, tmp_path: Path) -> None:
    for mark in (tmp_path / "none", tmp_path / "stale"):
        (tmp_path / "stale").write_text("of another run")
        about = worker.about(str(mark))
        with pytest.raises(WorkError, match=f"{socket.gethostname()} does not see {tmp_path}: workers write"):
            _refuse_other(about, tmp_path, "token")


def test_a_model_that_it_does_not_see_is_refused(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("token")
    about = worker.about(str(tmp_path / "seen"), [str(tmp_path), str(tmp_path / "gone")])
    with pytest.raises(
        WorkError, match=f"does not see the model {tmp_path / 'gone'}: workers load"
    ) as caught:
        _refuse_other(about, tmp_path, "token")
    assert "\n" not in str(caught.value)


def test_another_version_is_refused_with_both(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker finds the description of a later release first, the driver its own."""
    here = metadata.version("mechcot")
    (tmp_path / "seen").write_text("token")
    other = tmp_path / "mechcot-99.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: mechcot\nVersion: 99.0\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        about = worker.about(str(tmp_path / "seen"))
    with pytest.raises(WorkError, match=rf"has mechcot 99\.0 \(here {here}\).*Install the same there"):
        _refuse_other(about, tmp_path, "token")


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mechcot[cluster]'")
def test_an_address_where_nothing_listens_is_refused_at_once(tmp_path: Path) -> None:
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
    since = time.monotonic()
    asked, said = EngineSettings(address=address), f"there is no Ray cluster at '{address}'.*Start one"
    with pytest.raises(WorkError, match=said), workers_of(asked, 1, tmp_path, dict):
        pass
    assert time.monotonic() - since < 60
