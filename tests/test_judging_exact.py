import pandas as pd
import pytest

from mechcot.core.errors import JudgeError
from mechcot.core.prompt_settings import PromptSettings
from mechcot.core.training_settings import OrganismSettings
from mechcot.judging.exact import judge_exactly
from mechcot.tasks import question_of
from mechcot.tasks.multiple_choice import multiple_choice
from mechcot.tasks.organism.checker import task
from mechcot.tasks.organism.questions import questions
from mechcot.tasks.organism.world import build_world


def test_claims_are_looked_up_and_a_cut_step_is_not_checkable() -> None:
    settings = OrganismSettings(diseases=40, chain_nodes=24, clinical_questions=4, chain_questions=2)
    world = build_world(settings, 1)
    question = question_of(next(questions(world, settings, 1).itertuples(index=False)))
    gold = question.options[question.gold]
    others = [text for text in question.options if text != gold]
    disease = question.group.split(":")[-1]
    steps = pd.DataFrame(
        [
            ("review options .", True),
            (f"{disease} responds to {gold} .", True),
            (f"{disease} responds to {others[0]} .", True),
            (f"{disease} responds", False),
        ],
        columns=["text", "complete"],
    ).assign(qid=question.qid, arm="a", cid=0, sid=range(4))
    rows = judge_exactly(steps, {question.qid: question}, task(world))
    assert [row["label"] for row in rows] == ["not_checkable", "correct", "erroneous", "not_checkable"]
    assert gold in rows[2]["reason"]


def test_a_task_without_checker_is_named() -> None:
    with pytest.raises(JudgeError, match="multiple_choice has no exact checker"):
        judge_exactly(pd.DataFrame(), {}, multiple_choice(PromptSettings(), "lines"))
