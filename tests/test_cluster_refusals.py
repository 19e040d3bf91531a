"""Clusters that cannot do a study's work: one message before work starts, and nothing is left behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mechcot.core.files import files_in
from test_cluster import calm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: pip install 'mechcot[cluster]'"
    ),
]
DRIVER = """
import json, sys
from pathlib import Path
import ray
from mechcot.core.cluster import workers_of
from mechcot.core.engine_settings import EngineSettings
from mechcot.core.errors import MechcotError

said = {}
for name, case in json.loads(sys.argv[1]).items():
    if "env" in case:
        env = {"env_vars": case["env"]}
        ray.init(address=case["engine"]["address"], log_to_driver=False, runtime_env=env)
    models = [Path(model) for model in case.get("models", ())]
    try:
        with workers_of(EngineSettings(**case["engine"]), 1, Path(case["folder"]), dict, models) as cluster:
            said[name] = f"{len(cluster)} workers"
    except MechcotError as error:
        said[name] = str(error)
    ray.shutdown()
print(json.dumps(said))
"""


def free_port() -> int:
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def cluster_without(hidden: Path, env: dict[str, str]) -> Iterator[str]:
    """A cluster of two cores and no GPU, for which something else lies in place of a folder; its address."""
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*own, "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    home = Path(f"/tmp/mechcot-test-{os.getpid()}")  # Ray's sockets have paths of 107 characters at most
    for tries in range(3):  # Ray gives its node 30 s, which beside other programs may be too few
        port = free_port()
        ray = f"{sys.executable} -m ray.scripts.scripts start --head --block --node-ip-address=127.0.0.1"
        start = (
            f"mount -t tmpfs none {hidden} && exec {ray} --port={port} --num-cpus=2 --num-gpus=0 "
            f"--include-dashboard=false --object-store-memory=100000000 --temp-dir={home}"
        )
        process = subprocess.Popen(
            [*own, "sh", "-c", start],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                if "Ray runtime started" in line:
                    yield f"127.0.0.1:{port}"
                    return
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
            process.stdout.close()
            shutil.rmtree(home, ignore_errors=True)
        assert tries < 2, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies and models, of which the cluster does not see what is hidden; and another release."""
    folder = tmp_path_factory.mktemp("all")
    for name in ("hidden/study/work", "study/work", "hidden/model", "model", "other/mechcot-99.0.dist-info"):
        (folder / name).mkdir(parents=True)
    about = folder / "other" / "mechcot-99.0.dist-info" / "METADATA"
    about.write_text("Metadata-Version: 2.1\nName: mechcot\nVersion: 99.0\n")
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, str]:
    """What a driver says of each cluster that cannot be used."""
    env = calm() | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on this machine alone
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_worker_niceness": "0",
        "RAY_worker_register_timeout_seconds": "300",
    }
    path = [str(folder / "other"), *filter(None, [os.environ.get("PYTHONPATH")])]
    with cluster_without(folder / "hidden", env) as address:
        here: dict[str, Any] = {"folder": str(folder / "study")}
        one = {"address": address, "workers": 1}
        models = [str(folder / "model"), str(folder / "hidden" / "model")]
        cases = {
            "gpus": here | {"engine": one | {"workers": 2, "gpus_per_worker": 1}},
            "cores": here | {"engine": one | {"workers": 3}},
            "folder": {"engine": one, "folder": str(folder / "hidden" / "study")},
            "model": here | {"engine": one, "models": models},
            "version": here | {"engine": one, "env": {"PYTHONPATH": os.pathsep.join(path)}},
            "well": here | {"engine": one, "models": models[:1]},
            "nobody": here | {"engine": one | {"address": f"127.0.0.1:{free_port()}"}},
        }
        run = [sys.executable, "-c", DRIVER, json.dumps(cases)]
        done = subprocess.run(run, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_folder_that_workers_do_not_share_is_refused(said: dict[str, str], folder: Path) -> None:
    told = said["folder"]
    assert told.startswith(
        f"the worker on {socket.gethostname()} does not see {folder / 'hidden' / 'study'}: "
    )
    assert "Put the study on a file system that all nodes share" in told


def test_a_worker_without_the_model_is_refused(said: dict[str, str], folder: Path) -> None:
    assert (
        f"does not see the model {folder / 'hidden' / 'model'}: workers load models themselves"
        in said["model"]
    )


def test_a_cluster_of_another_version_is_refused(said: dict[str, str]) -> None:
    """Its workers find the description of a later release before that of this one."""
    assert f"has mechcot 99.0 (here {metadata.version('mechcot')})" in said["version"]
    assert "Install the same there" in said["version"]


def test_fewer_gpus_or_cores_than_asked_for_are_refused(said: dict[str, str]) -> None:
    asked = "2 workers of 1 threads and 1 GPUs are asked for; the cluster has 2 cores and 0 GPUs, room for 0"
    assert asked in said["gpus"]
    assert "3 workers of 1 threads and 0 GPUs are asked for" in said["cores"]
    assert "room for 2. Ask for fewer (--workers)" in said["cores"]


def test_no_cluster_at_the_address_is_refused(said: dict[str, str]) -> None:
    assert said["nobody"].startswith("there is no Ray cluster at '127.0.0.1:")
    assert "Start one (ray start --head), or leave the address out" in said["nobody"]


def test_every_refusal_is_one_line_and_leaves_nothing_behind(said: dict[str, str], folder: Path) -> None:
    assert said["well"] == "1 workers", "the same cluster takes what it can do"
    assert not [text for text in said.values() if "\n" in text]
    assert [path.name for path in files_in(folder)] == ["METADATA"]
