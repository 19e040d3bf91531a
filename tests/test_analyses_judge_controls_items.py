"""What each judge control judges: the sample, factors, hedges, masks and decoys; no server is asked."""

import dataclasses
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from judging_cases import judge_file
from mechcot import Study
from mechcot.analyses.judge_controls import Wanted, plan_judge_controls
from mechcot.analyses.judge_controls.control import Setup, reason_against
from mechcot.analyses.judge_controls.controls.answer_blind import ANSWER_BLIND
from mechcot.analyses.judge_controls.controls.decoys import DECOY
from mechcot.analyses.judge_controls.controls.factors import FACTORS
from mechcot.analyses.judge_controls.controls.guess_arm import GUESS_ARM
from mechcot.analyses.judge_controls.controls.hedge_flip import HEDGE_FLIP
from mechcot.analyses.judge_controls.registry import CONTROLS, findings
from mechcot.analyses.judge_controls.result import JudgeControlsResult
from mechcot.analyses.judge_controls.sample import Sample, sample_of
from mechcot.core.errors import DataError
from mechcot.core.prompt_settings import PromptSettings
from mechcot.judging.judge_file import read_judge
from mechcot.judging.prompt import Item, messages
from mechcot.steps.alter import MASK
from mechcot.steps.of_study import questions_by_id
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import multiple_choice
from written_study import own_decoys, written_study

ARMS = ("base", "distilled")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return written_study(tmp_path_factory.mktemp("written") / "study")


@pytest.fixture
def study(written, tmp_path):
    shutil.copytree(written.path, tmp_path / "study")
    return Study.open(tmp_path / "study")


def test_every_factor_changes_one_part_of_the_prompt_and_twice_is_never(written, tmp_path):
    judge = read_judge(judge_file(tmp_path, "http://127.0.0.1:9/v1"))
    question = next(iter(questions_by_id(written).values()))
    item = Item(question, "this suggests x .", ("review options .",))

    def pieces(judge):
        system, user = (message["content"] for message in messages(item, judge, 0))
        tag = user.split("\n", 1)[0].removeprefix("Tag: ")
        return set(system.split("\n\n")), set(user.replace(tag, "TAG").split("\n\n"))

    plain = judge.model_dump()
    for name, factor in FACTORS.items():
        switched = factor.switched(judge)
        changed = {key for key, value in switched.model_dump().items() if value != plain[key]}
        assert len(changed) == 1, name
        assert factor.has(switched) is not factor.has(judge)
        assert factor.switched(switched) == judge
        (system, user), (system_now, user_now) = pieces(judge), pieces(switched)
        in_user = name in ("gold", "options", "question", "previous")
        assert (system != system_now, user != user_now) == (not in_user, in_user), name


def test_samples_are_the_same_for_all_controls_and_a_larger_one_holds_the_smaller(written):
    small, large = (sample_of(written, n, 1) for n in (3, 5))
    assert len(small.questions) == 3
    assert set(small.questions) < set(large.questions) < set(sample_of(written, None, 1).questions)
    assert set(small.questions) == set(sample_of(written, 3, 1).questions)
    assert set(small.others.qid).isdisjoint(small.questions)
    assert set(small.steps.cid) == {0}
    assert set(sample_of(written, 3, 2).steps.cid) == {0, 1}
    manners = small.manners()
    assert {arm: len(steps) for arm, steps in manners.items()} == dict.fromkeys(ARMS, 4)
    for arm, steps in manners.items():
        assert set(steps.arm) == {arm}
        assert steps.qid.is_unique
        assert not steps.states_answer.any()
    assert manners["base"].text.tolist() == sample_of(written, 3, 1).manners()["base"].text.tolist()


def english(**texts):
    """A sample of one question whose steps are English and whose answers are letters."""
    question = Question("q0", "all", "Which drug is best?", ("Heparin", "Aspirin"), 0, "q0")
    rows = [
        {"qid": "q0", "arm": arm, "cid": 0, "sid": sid, "text": text, "complete": sid < 3}
        for arm, own in texts.items()
        for sid, text in enumerate(own)
    ]
    steps = pd.DataFrame(rows).assign(states_answer=False)
    traces = pd.DataFrame({"qid": "q0", "arm": arm, "cid": 0, "answer": 1} for arm in texts)
    task = multiple_choice(PromptSettings(), "structural")
    return Sample(*ARMS, {"q0": question}, frozenset(["q0"]), 1, traces, steps, steps, task, 90, 0)


def test_steps_in_english_are_hedged_masked_and_made_decoys_of_by_rule(tmp_path):
    sample = english(
        base=["It may be a clot.", "Why?", "So the answer is (B).", "It may be cut"],
        distilled=["It is a clot.", "Heparin inhibits thrombin.", "So the answer is (B) Aspirin."],
    )
    judge = read_judge(judge_file(tmp_path, "http://127.0.0.1:9/v1", fields={"previous": True}))
    hedge = HEDGE_FLIP.items(Setup(sample, judge))
    assert sorted(zip(hedge.table.arm, hedge.table.variant, hedge.table.text, strict=True)) == [
        ("base", "hedged", "It is probably a clot."),
        ("base", "hedged", "So the answer is probably (B)."),
        ("base", "plain", "It is a clot."),
        ("base", "plain", "So the answer is (B)."),
        ("distilled", "hedged", "Heparin probably inhibits thrombin."),
        ("distilled", "hedged", "It is probably a clot."),
        ("distilled", "hedged", "So the answer is probably (B) Aspirin."),
        ("distilled", "plain", "Heparin inhibits thrombin."),
        ("distilled", "plain", "It is a clot."),
        ("distilled", "plain", "So the answer is (B) Aspirin."),
    ]
    assert hedge.untreated == {"steps that the rules for hedges do not treat": {"base": 1, "distilled": 0}}
    # A changed step stands in no trace: the judge is not shown the steps before it.
    assert (judge.fields.previous, HEDGE_FLIP.changes(judge).fields.previous) == (True, False)
    blind_judge = ANSWER_BLIND.changes(judge).fields
    blind = ANSWER_BLIND.items(Setup(sample, judge))
    assert (blind_judge.gold, blind_judge.previous) == (False, True)
    assert blind.table.text.tolist() == [
        *("It may be a clot.", "Why?", f"So the answer is {MASK}.", "It may be cut"),
        *("It is a clot.", "Heparin inhibits thrombin.", f"So the answer is {MASK}."),
    ]
    decoys = DECOY.items(Setup(sample, None))
    assert sorted(zip(decoys.table.arm, decoys.table.variant, decoys.table.text, strict=True)) == [
        ("base", "false", "So the answer is (B)."),
        ("base", "true", "So the answer is (A)."),
        ("distilled", "false", "So the answer is (B) Aspirin."),
        ("distilled", "true", "So the answer is (A) Heparin."),
    ]
    # Steps that show a manner come from different questions.
    assert reason_against(GUESS_ARM, Setup(sample, judge)) == (
        "fewer than 2 different steps show the manner of base and of distilled"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arm": "other"}, "row 1: the arm is 'other'; there are base and distilled"),
        ({"text": " "}, "row 1: the text is empty"),
        ({"truth": "perhaps"}, "row 1: the truth is 'perhaps'; write true or false"),
        ({"text": "statement false ."}, "row 2: the statement stands in row 1 already"),
    ],
)
def test_bad_decoys_are_named_by_row(study, changes, says):
    with pytest.raises(DataError, match=re.escape(says)):
        plan_judge_controls(study.path, Wanted(only=("decoy",), decoys=own_decoys(study, **changes)))


def test_decoys_without_a_column_or_a_known_question_are_refused(study):
    path = study.path.parent / "decoys.jsonl"
    path.write_text('{"qid": "q", "arm": "base", "text": "x"}\n')
    with pytest.raises(DataError, match=r"the columns \['truth'\] are missing"):
        plan_judge_controls(study.path, Wanted(decoys=path))
    path.write_text('{"qid": "q", "arm": "base", "text": "x", "truth": true}\n')
    with pytest.raises(DataError, match="row 1: the study has no question 'q'"):
        plan_judge_controls(study.path, Wanted(decoys=path))


def test_decoys_of_questions_that_are_not_judged_are_left_out_and_told(study, caplog):
    sampled = sample_of(study, 2, 1).questions
    own = pd.read_csv(own_decoys(study))
    others = own.assign(qid=next(qid for qid in study.questions().qid if qid not in sampled))
    path = study.path.parent / "decoys.csv"
    others.drop_duplicates(["arm", "text"]).to_csv(path, index=False)
    with pytest.raises(DataError, match="none of its 4 rows is of a question that is judged"):
        plan_judge_controls(study.path, Wanted(questions=2, decoys=path))
    both = pd.concat([others, own.assign(qid=min(sampled))]).drop_duplicates(["qid", "arm", "text"])
    both.to_csv(path, index=False)
    with caplog.at_level("INFO", logger="mechcot"):
        plan = plan_judge_controls(study.path, Wanted(questions=2, only=("decoy",), decoys=path))
    assert plan.controls[-1].n_items == 4
    assert "4 of its 8 rows are of questions that are not judged" in caplog.text


def test_every_control_stands_in_the_docs_and_no_two_share_a_name_or_a_key_of_the_result():
    page = (Path(__file__).parent.parent / "docs" / "judge-controls.md").read_text()
    names = [control.name for control in CONTROLS]
    assert all(f"`{name}`" in page or name.startswith("segment:") for name in names)
    assert len(set(names)) == len(names)
    assert CONTROLS[0].name == "primary"
    keys = [finding.name for _, finding in findings()]
    own = {field.name for field in dataclasses.fields(JudgeControlsResult)}
    assert len({*keys} - own) == len(keys)
