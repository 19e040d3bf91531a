import pytest

from mechcot.core.records import QUESTIONS, write_table
from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.questions import questions
from mechcot.tasks.organism.teacher import examples
from mechcot.tasks.organism.world import TERCILES, build_world

SETTINGS = OrganismSettings(diseases=30, chain_nodes=12, clinical_questions=40, chain_questions=9)
WORLD = build_world(SETTINGS, 7)
UNSEEN = SETTINGS.model_copy(update={"unseen_findings": True})
TABLE = questions(WORLD, SETTINGS, 7)


def test_table_fits_its_schema_and_is_deterministic(tmp_path) -> None:
    write_table(tmp_path / "questions.parquet", TABLE, QUESTIONS)
    assert TABLE.equals(questions(WORLD, SETTINGS, 7))
    assert not TABLE.equals(questions(WORLD, SETTINGS, 8))
    assert TABLE.qid.is_unique
    assert TABLE.domain.value_counts().to_dict() == {"clinical": 40, "chain": 9}


@pytest.mark.parametrize("domain", ["clinical", "chain"])
def test_gold_is_the_one_right_option(domain: str) -> None:
    for row in TABLE[TABLE.domain == domain].itertuples():
        head, *shown = row.stem.split()
        assert len(set(row.options)) == 4
        assert row.stratum == WORLD.tercile(row.group) in TERCILES
        if domain == "clinical":
            assert head == "case"
            assert row.options[row.gold] == WORLD.drug_of(row.group)
            assert set(shown) == WORLD.asked[row.group]
            right = {WORLD.drug_of(disease) for disease in WORLD.fitting(frozenset(shown))}
        else:
            assert (head, shown) == ("trace", [row.group])
            right = {WORLD.walk(row.group)[-1]}
        assert row.options[row.gold] in right


def test_gold_stands_at_every_place() -> None:
    assert set(TABLE.gold) == {0, 1, 2, 3}


def test_the_teacher_can_be_kept_from_the_findings_that_questions_show() -> None:
    seen = 0
    for row in examples(WORLD, "rich", UNSEEN, 7, 300).itertuples():
        if row.prompt.startswith("case"):
            disease = row.completion.split(" suggests ")[1].split()[0]
            assert frozenset(row.prompt.split()[1:4]) != WORLD.asked[disease]
            seen += 1
    assert seen > 150
