"""The list of facts: the organism's own, and pairs out of a file."""

import json
from collections import Counter

import pandas as pd
import pytest

from mechcot.core import config
from mechcot.core.errors import ConfigError, DataError
from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.checker import task
from mechcot.tasks.organism.world import build_world
from mechcot.tasks.pairs import load_pairs

WORLD = build_world(OrganismSettings(diseases=12, chain_nodes=12), 5)
TASK = task(WORLD)
FACTS = TASK.facts()


def test_every_fact_of_the_world_is_asked_once():
    assert len({fact.fid for fact in FACTS}) == len(FACTS) == len(WORLD.facts) + len(WORLD.diseases)
    asked = {(fact.subject, fact.relation): fact.truth for fact in FACTS if fact.kind != "find"}
    assert asked == {claim: (said,) for claim, said in WORLD.facts.items()}
    assert Counter(fact.kind for fact in FACTS)["find"] == len(WORLD.diseases)
    assert {fact.stratum for fact in FACTS} == {"head", "middle", "tail"}


def test_the_checker_bears_every_fact_out_in_its_own_trace_and_no_other_object():
    for fact in FACTS:
        *opening, last = fact.reasoning.split(" . ")
        for step in opening:  # what stands before it is true, or claims nothing
            assert TASK.check(fact.question, f"{step} .").label in ("correct", "not_checkable")
        for name in fact.objects:
            wanted = "correct" if name in fact.truth else "erroneous"
            assert TASK.check(fact.question, f"{last} {name} .").label == wanted
            if fact.kind != "find":
                assert TASK.check(fact.question, f"{fact.bare} {name} .").label == wanted


def test_what_a_drug_treats_is_said_of_a_wrong_option():
    for fact in FACTS:
        if fact.kind == "rev":
            assert fact.subject in fact.question.options
            assert fact.question.options[fact.question.gold] != fact.subject


def test_a_disease_and_its_drug_are_one_group():
    for fact in FACTS:
        if fact.subject in WORLD.drugs:
            assert fact.group == WORLD.disease_of(fact.subject)
        else:
            assert fact.group == fact.subject


def test_the_same_world_gives_the_same_list():
    assert task(build_world(OrganismSettings(diseases=12, chain_nodes=12), 5)).facts() == FACTS


PAIR = {
    "id": "p1", "subject": "aspirin", "claim": "Aspirin blocks COX-3.", "correction": "Aspirin blocks COX-1.",
    "checked": "yes",
}  # fmt: skip


def written(path, *rows):
    pd.DataFrame([PAIR | {"id": f"p{n}"} | row for n, row in enumerate(rows)]).to_csv(path, index=False)
    return path


def test_pairs_are_facts_whose_objects_are_whole_statements(tmp_path):
    made = load_pairs(written(tmp_path / "pairs.csv", {}, {"checked": "no"}))
    assert [checked for _, checked in made] == [True, False]
    fact = made[0][0]
    assert (fact.truth, fact.objects) == ((PAIR["correction"],), (PAIR["correction"], PAIR["claim"]))
    assert (fact.group, fact.question.options) == ("aspirin", fact.objects)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"claim": " "}, "row 2: claim is empty"),
        ({"claim": " Aspirin  blocks COX-1."}, "row 2: claim and correction are the same"),
        ({"checked": "maybe"}, "row 2: checked is 'maybe'; expected yes or no"),
        ({"checked": ""}, "row 2: checked is ''"),
        ({"id": "p0"}, "row 2: the id 'p0' stands in row 1 already"),
        ({"subject": ""}, "row 2: subject is empty"),
    ],
)
def test_a_pair_that_cannot_be_used_is_named(tmp_path, row, told):
    with pytest.raises(DataError, match=told):
        load_pairs(written(tmp_path / "pairs.csv", {}, row))


def test_a_file_without_its_columns_or_rows_is_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    pd.DataFrame([PAIR]).drop(columns="checked").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"the columns \['checked'\] are missing"):
        load_pairs(path)
    pd.DataFrame(columns=list(PAIR)).to_csv(path, index=False)
    with pytest.raises(DataError, match="holds no pairs"):
        load_pairs(path)
    row = {"id": 1, "subject": "s", "claim": 7, "correction": "c", "checked": True}
    path.with_suffix(".jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="row 1: claim is 7; expected a text"):
        load_pairs(path.with_suffix(".jsonl"))


def test_the_organism_takes_no_pairs():
    with pytest.raises(ConfigError, match="the organism's world is the list of facts"):
        config.resolve(preset="organism-small", overrides=("knowledge.pairs=pairs.csv",))
