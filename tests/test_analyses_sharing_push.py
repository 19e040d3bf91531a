"""A study put onto the Hub by the Hub's own client: a server on the loopback speaks for the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard, ModelCard

from conftest import ROOT
from mechcot import Study
from mechcot.analyses.sharing.push import check_name
from mechcot.core.errors import UsageError
from pushed_hub import PushedHub

TOKEN = "hf_abcDEF0123456789secret"


@pytest.fixture
def hub() -> Iterator[PushedHub]:
    with PushedHub(TOKEN) as found:
        yield found


CALLS = """
import json, os, sys
from called import called
done = []
for token, words in json.loads(sys.argv[1]):
    os.environ.pop("HF_TOKEN", None)
    os.environ |= {"HF_TOKEN": token} if token else {}
    one = called("export", *words)
    done.append((one.returncode, one.stdout + one.stderr))
print(json.dumps(done))
"""


def exported(
    hub: str, study: Path, home: Path, *calls: tuple[str | None, str], **env: str
) -> list[tuple[int, str]]:
    """Exit code and all that is printed of calls of `mechcot export STUDY`, each with its token.

    In one process of their own: which Hub there is, the client reads when it is imported.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    own = {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    # Of huggingface_hub 2.4's own upload of large files: it hands bytes over as `data`.
    own["PYTHONWARNINGS"] = f"{plain['PYTHONWARNINGS']},ignore:Use 'content=:DeprecationWarning"
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CALLS,
            json.dumps([(token, [str(study), *words.split()]) for token, words in calls]),
        ],
        env={**plain, **own, "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        cwd=home,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    found: Any = json.loads(done.stdout.splitlines()[-1])
    return [(code, said) for code, said in found]


def test_tables_and_the_trained_model_go_up_private_and_only_once(
    study: Study, tmp_path: Path, hub: PushedHub
) -> None:
    words = (TOKEN, "--push jane/organism")
    (code, said), again = exported(hub.url, study.path, tmp_path, words, words)
    assert code == 0, said
    data, model = hub.repositories["datasets/jane/organism"], hub.repositories["models/jane/organism"]
    assert (data.private, model.private) == (True, True)
    assert f"{hub.url}/datasets/jane/organism (private)" in said
    assert f"{hub.url}/jane/organism (private)" in said
    card = DatasetCard(data.files["README.md"].decode())
    tables = [one["data_files"] for one in card.data.to_dict()["configs"]]
    assert {*tables, "README.md"} == data.files.keys()
    for table in tables:
        assert data.files[table] == (study.path / table).read_bytes()
    weights = study.path / "models" / "distilled"
    assert model.files["model.safetensors"] == (weights / "model.safetensors").read_bytes()
    assert {"config.json", "tokenizer.json", "README.md"} <= model.files.keys()
    assert ModelCard(model.files["README.md"].decode()).data.pipeline_tag == "text-generation"
    sent = [*data.files.values(), *model.files.values()]
    for body in (*sent, *(body for _, body in hub.seen)):
        assert TOKEN.encode() not in body
        assert str(study.path.parent).encode() not in body
    # The same again: nothing changed, nothing is sent.
    assert again[0] == 0, again[1]
    assert (data.commits, model.commits) == (1, 1)
    assert len([path for path, _ in hub.seen if path.startswith("PUT /large/")]) == len(hub.large)


def test_steps_ride_along_and_one_kind_may_be_named(study: Study, tmp_path: Path, hub: PushedHub) -> None:
    words = "--push jane/steps --kind dataset --steps steps.jsonl --public"
    first, private, model = exported(
        hub.url, study.path, tmp_path,
        (TOKEN, words), (TOKEN, "--push jane/steps --kind dataset"), (TOKEN, "--push jane/a --kind model"),
    )  # fmt: skip
    assert first[0] == 0, first[1]
    assert model[0] == 0, model[1]
    assert list(hub.repositories) == ["datasets/jane/steps", "models/jane/a"]
    found = hub.repositories["datasets/jane/steps"]
    assert not found.private
    assert "(public)" in first[1]
    assert found.files["steps.jsonl"] == (tmp_path / "steps.jsonl").read_bytes()
    configs = DatasetCard(found.files["README.md"].decode()).data.to_dict()["configs"]
    assert {"config_name": "step-labels", "data_files": "steps.jsonl"} in configs
    # A public one that is there is not filled unasked.
    assert private[0] == 2
    assert "is on the Hub already and public; nothing was sent. Add --public" in private[1]
    assert found.commits == 1


def test_a_dry_run_names_every_file_and_sends_nothing(study: Study, tmp_path: Path, hub: PushedHub) -> None:
    words = "--push jane/organism --dry-run --steps steps.jsonl"
    ((code, said),) = exported(hub.url, study.path, tmp_path, (None, words), HF_HUB_OFFLINE="1")
    assert code == 0, said
    assert hub.seen == []
    assert not (tmp_path / "steps.jsonl").exists()
    assert "dataset jane/organism (private where it is new): 1" in said
    assert "model jane/organism (private where it is new): " in said
    assert "questions.parquet" in said
    assert "steps.jsonl" in said
    size = (study.path / "models" / "distilled" / "model.safetensors").stat().st_size
    line = next(line.split() for line in said.splitlines() if line.lstrip().startswith("model.safetensors"))
    assert float(line[1].replace(",", "")) == pytest.approx(size / {"kB": 1e3, "MB": 1e6}[line[2]], abs=0.05)
    assert "Nothing was sent; no token is set" in said


def test_what_the_hub_refuses_is_told_with_its_fix(study: Study, tmp_path: Path, hub: PushedHub) -> None:
    words = "--kind dataset --push"
    wrong, stranger, *refused = exported(
        hub.url, study.path, tmp_path, ("hf_anotherTOKEN99999", f"{words} jane/mine"),
        *((TOKEN, f"{words} {name}") for name in ("stranger/mine", "jane/a-409", "jane/a-413", "jane/a-418")),
    )  # fmt: skip
    assert wrong[0] == stranger[0] == 1
    assert "jane/mine (dataset): the Hub does not take this token (401)" in wrong[1]
    assert "hf_anotherTOKEN99999" not in wrong[1]  # the server repeats it
    assert "Bearer [key]" in wrong[1]
    assert "this token may not write there (403)" in stranger[1]
    assert "rights to create a datasets under the namespace stranger" in stranger[1]
    advice = (
        "somebody else changed it at the same time",
        "no file of that size",
        "the Hub answered 418. Run",
    )
    for (code, said), wanted in zip(refused, advice, strict=True):
        assert code == 1
        assert wanted in said
        assert "The Hub says: no, [key]" in said


def test_what_stands_in_the_way_is_told_before_anything_is_sent(
    study: Study, tmp_path: Path, hub: PushedHub
) -> None:
    unset, alone, kind = exported(
        hub.url, study.path, tmp_path,
        (None, "--push jane/mine"), (TOKEN, "--public --card c"), (TOKEN, "--push jane/mine --kind space"),
    )  # fmt: skip
    ((offline, said),) = exported(
        hub.url, study.path, tmp_path, (TOKEN, "--push jane/mine"), HF_HUB_OFFLINE="1"
    )
    assert (unset[0], alone[0], kind[0], offline) == (2, 2, 2, 2)
    assert "no token for" in unset[1]
    assert "set HF_TOKEN or run: hf auth login" in unset[1]
    assert "add --push OWNER/NAME" in alone[1]
    assert "there are dataset, model" in kind[1]
    assert "HF_HUB_OFFLINE" in said
    assert hub.seen == []


def test_a_login_s_token_does_as_well_and_a_hub_that_is_not_there_is_named(
    study: Study, tmp_path: Path, hub: PushedHub
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with PushedHub(TOKEN) as gone:
        pass
    ((code, said),) = exported(gone.url, study.path, tmp_path, (None, "--push jane/a --kind dataset"))
    assert code == 1
    assert f"{gone.url} did not answer" in said
    assert "Check the network" in said


@pytest.mark.parametrize(
    "name",
    ["organism", "/organism", "jane/", "a/b/c", "jane/or--ga", "jane/.a", "ja ne/a", "jane/a.git", "jane/é"],
)
def test_a_name_that_the_hub_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"--push takes OWNER/NAME.*got '"):
        check_name(name)


def test_names_that_the_hub_takes_pass() -> None:
    for name in ("jane/organism", "Org-1/my_study.v2", "_a/b"):
        check_name(name)
