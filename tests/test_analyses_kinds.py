"""Kinds of steps through a study of real text: by rules, by a server, and mistaken."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from judging_cases import KEY, judge_file
from loopback import Answer, Loopback
from mechcot import Study
from mechcot.analyses import registry
from mechcot.analyses.kinds.analysis import AS_FOUND, OWN
from mechcot.analyses.kinds.page import confusion_tables, figure, mistaken, sentence
from mechcot.analyses.viewer.tables import ArmFiles, ArmTables
from mechcot.core import records
from mechcot.core.config import resolve
from mechcot.core.errors import ConfigError, DataError, JudgeError
from mechcot.core.kind_records import KINDS as TABLE
from mechcot.core.manifest import save_manifest
from mechcot.core.stages import run_stages
from mechcot.pipeline.plan import plan_stages
from mechcot.report.parts import Findings
from mechcot.tasks.kinds import KINDS
from written_text import ARMS, SENTENCES, stages_named, written_text

NAMES = ("step-kinds", "step-strata", "judge", "audit", "kinds")
PLANTED = {words.split("{")[0]: kind for kind, words in SENTENCES.items()}


def planted(text):
    return next(kind for words, kind in PLANTED.items() if text.startswith(words))


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    study = written_text(tmp_path_factory.mktemp("text") / "study")
    run_stages(study.path, stages_named(study, *NAMES), {})
    return study


@pytest.fixture
def study(made, tmp_path):
    shutil.copytree(made.path.parent, tmp_path / "all")
    return Study.open(tmp_path / "all" / "study")


def with_kinds_by(study, **named):
    settings = study.settings
    more = {"kinds": settings.kinds.model_copy(update=named)}
    study = Study(study.path, settings.model_copy(update=more))
    study.save_settings()
    return study


def test_every_step_has_the_kind_that_was_written(made):
    for arm in ARMS:
        steps = made.steps(arm)
        assert list(steps.role) == [planted(text) for text in steps.text]
        own = records.read_table(made.arm_path(arm) / "kinds.parquet", TABLE)
        assert set(own.by) == {"rules"}
    found = made.result("audit")
    assert {row["role"] for row in found["roles"]} == set(KINDS)
    assert found["cells"] == "kind x stratum"


def test_kinds_stand_in_place_of_the_roles_that_steps_were_cut_with(study):
    """A study that was cut under other rules keeps its steps, its verdicts and readings."""
    path = study.arm_path("base") / "kinds.parquet"
    own = records.read_table(path, TABLE).assign(kind="finding")
    records.write_table(path, own, TABLE)
    with pytest.raises(Exception, match=r"kinds\.parquet.* has changed"):
        study.steps("base")
    study = Study.open(study.path)
    manifest = json.loads((study.path / "manifest.json").read_text())
    del manifest["stages"]["step-kinds"]
    save_manifest(study.path, manifest)
    assert set(Study.open(study.path).steps("base").role) == {"finding"}
    files = ArmFiles(Study.open(study.path), "base")
    assert set(ArmTables.of(files, ["q1", "q3"]).steps.role) == {"finding"}
    run_stages(study.path, [*stages_named(study, "step-kinds")], {})
    assert set(Study.open(study.path).steps("base").role) == set(KINDS)
    records.write_table(path, own.iloc[1:], TABLE)
    del manifest["stages"]["steps-base"]
    save_manifest(study.path, manifest)
    with pytest.raises(DataError, match=r"are not the .* steps beside it"):
        Study.open(study.path).steps("base")


def named_by(kinds=None):
    """A server that names planted kinds, or others by text."""

    def script(call):
        said = planted(call.step)
        return Answer(json.dumps({"kind": (kinds or {}).get(said, said)}))

    return script


def test_a_server_names_kinds_once_priced_kept_and_resumed(study):
    swapped = {"finding": "mechanism", "mechanism": "finding"}
    with Loopback(named_by(swapped)) as server:
        file = judge_file(study.path.parent, server.url, price_in=1.0, price_out=1.0)
        study = with_kinds_by(study, server=str(file))
        rows = {row.what: row for row in plan_stages(study.path, stages_named(study, *NAMES)).rows}
        n = len(
            set(pd.concat([study.cut_steps(arm)[["qid", "text"]] for arm in ARMS]).itertuples(index=False))
        )
        assert (rows["step-kinds"].calls, rows["step-kinds"].state) == (n, "to do")
        assert rows["step-kinds"].money > 0
        assert len(server.calls) == 0
        run_stages(study.path, stages_named(study, *NAMES), {})
        assert len(server.calls) == n
        assert all("gold" not in call.user for call in server.calls)
        study = Study.open(study.path)
        steps = study.steps("distilled")
        assert list(steps.role) == [swapped.get(planted(t), planted(t)) for t in steps.text]
        assert study.result("kinds")["by"] == "server"
        assert "kinds.labels" in study.result("kinds")["reason"]
        # back to the rules and to the server again: nothing is sent anew
        run_stages(study.path, stages_named(with_kinds_by(study, server=None), *NAMES), {})
        study = with_kinds_by(Study.open(study.path), server=str(file))
        run_stages(study.path, stages_named(study, *NAMES), {})
        assert len(server.calls) == n


def test_what_a_server_does_not_name_is_counted_and_left_out(study):
    def script(call):
        return Answer(
            "no kind" if planted(call.step) == "other" else json.dumps({"kind": planted(call.step)})
        )

    with Loopback(script) as server:
        file = judge_file(study.path.parent, server.url, max_failure_share=0.5)
        study = with_kinds_by(study, server=str(file))
        run_stages(study.path, stages_named(study, *NAMES), {})
        found = Study.open(study.path).result("kinds")
        n = sum(planted(text) == "other" for text in study.cut_steps("base").text)
        assert found["unread"]["before"] == n > 0
        mix = {row["kind"]: row["share"]["before"]["estimate"] for row in found["mix"]}
        assert mix["other"] == 0
        assert sum(mix.values()) == pytest.approx(1)
        strict = judge_file(study.path.parent, server.url, temperature=0.5)
        with pytest.raises(JudgeError, match="steps got no kind"):
            run_stages(study.path, stages_named(with_kinds_by(study, server=str(strict)), "step-kinds"), {})


def test_only_steps_that_are_judged_are_asked_about(study):
    with Loopback(named_by({"finding": "other"})) as server:
        file = judge_file(study.path.parent, server.url)
        study = with_kinds_by(study, server=str(file))
        judge = study.settings.judge.model_copy(update={"traces_per_question": 1})
        study = Study(study.path, study.settings.model_copy(update={"judge": judge}))
        study.save_settings()
        run_stages(study.path, stages_named(study, "step-kinds"), {})
        own = records.read_table(study.arm_path("base") / "kinds.parquet", TABLE)
        assert (own.by == "server").equals(own.cid == 0)
        assert (own[own.cid == 0].kind != "finding").all()
        assert (own[own.cid == 1].kind == "finding").any()


def test_with_labels_of_its_own_a_study_undoes_its_own_mistakes(study):
    rows = pd.concat([study.steps(arm)[[*records.STEP_KEY, "role"]] for arm in ARMS]).rename(
        columns={"role": "kind"}
    )
    path = study.path.parent / "labels.csv"
    rows.to_csv(path, index=False)
    study = with_kinds_by(study, labels=str(path))
    run_stages(study.path, stages_named(study, *NAMES), {})
    found = study.result("kinds")
    plain, own = found["corrected"]
    assert [row["mistakes"] for row in found["corrected"]] == [AS_FOUND, OWN]
    assert own["within"]["estimate"] == pytest.approx(plain["within"]["estimate"])  # no label differs
    assert own["within"]["low"] < plain["within"]["low"]
    assert [one["writer"] for one in found["mistaken"]] == list(ARMS)
    assert all(one["agree"]["estimate"] == 1 for one in found["mistaken"])
    # other labels in another file's place: the analysis alone is made again
    rows.assign(kind=np.where(rows.index % 3 == 0, "mechanism", rows.kind)).to_csv(path, index=False)
    run_stages(study.path, stages_named(study, *NAMES), {})
    assert study.result("kinds")["mistaken"][0]["agree"]["estimate"] < 0.9


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "fact"}, r"labels\.csv, row 2: kind is 'fact'; it is one of finding, mechanism"),
        ({"sid": 99}, r"row 2: question q0, trace 0, step 99 is not a step of this study"),
        ({"sid": 1}, r"row 3: question q0, trace 0, step 1 stands twice"),
    ],
)
def test_labels_that_do_not_fit_are_named_by_their_row(study, change, says):
    rows = study.steps("base")[[*records.STEP_KEY, "role"]].rename(columns={"role": "kind"})
    rows.loc[0, list(change)] = list(change.values())
    path = study.path.parent / "labels.csv"
    rows.to_csv(path, index=False)
    with pytest.raises(DataError, match=says):
        with_kinds_by(study, labels=str(path)).kinds()
    rows[["qid"]].to_csv(path, index=False)
    with pytest.raises(DataError, match=r"the columns .* are missing"):
        with_kinds_by(study, labels=str(path)).kinds()


def test_few_labels_say_so(study):
    rows = study.steps("base")[[*records.STEP_KEY, "role"]].rename(columns={"role": "kind"})
    path = study.path.parent / "labels.csv"
    rows.head(30).to_csv(path, index=False)
    found = with_kinds_by(study, labels=str(path)).kinds()
    assert "distilled: 0; 20 of each arm" in found.reason
    assert "mistakes cannot be undone" in sentence(found.to_json())


def test_the_page_says_what_undoing_the_shipped_mistakes_does(made):
    result = made.result("kinds")
    assert len(result["corrected"]) == 4
    assert sum(sum(map(sum, one["counts"])) for one in result["mistaken"]) == 140
    part = mistaken(Findings(made.settings, {"kinds": result}))
    estimates = [100 * row["within"]["estimate"] for row in result["corrected"]]
    assert f"{min(estimates[1:]):+.1f} to {max(estimates[1:]):+.1f} points" in part.sentence
    assert "Of 140 steps that were labelled by hand" in part.sentence
    assert [table.title for table in confusion_tables(result)] == [
        "Labelled steps of gpt-4o",
        "Labelled steps of gpt-4o-mini",
    ]
    assert figure(result).to_json() == made.kinds().figure().to_json()
    assert "as found" in made.kinds().text()


def test_the_organism_has_no_such_stage_and_no_such_settings():
    organism = resolve(preset="organism-small")
    assert "kinds" not in registry.results(organism)
    with pytest.raises(ConfigError, match="kinds: the organism's language tells the kinds"):
        resolve(preset="organism-small", overrides=("kinds.server=local",))


def test_where_the_sign_hangs_on_the_mistakes_the_sentence_says_so(made):
    result = made.kinds().to_json()
    up, down = ({"estimate": x, "low": x - 0.01, "high": x + 0.01, "n": 9} for x in (0.05, -0.05))
    for row, within in zip(result["corrected"], (up, up, down, down), strict=True):
        row["within"] = within
    told = "undone by −5.0 to +5.0 points: it moves one way or another, as the arms are mistaken."
    assert sentence(result).endswith(told)
    title = figure(result).layout.title.text.replace("<br>", " ")
    assert title.endswith("undone by −5.0 to +5.0 points</b>")
