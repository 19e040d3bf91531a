from itertools import pairwise

import pytest

from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.world import DISEASE_VERBS, DRUG, DRUG_VERBS, HOP, REV, TERCILES, build_world

SETTINGS = OrganismSettings(diseases=30, chain_nodes=12)
WORLD = build_world(SETTINGS, 7)


def test_equal_seeds_give_equal_worlds_and_others_do_not() -> None:
    assert build_world(SETTINGS, 7) == WORLD
    assert build_world(SETTINGS, 8) != WORLD


def test_no_name_is_used_twice() -> None:
    names = [*WORLD.diseases, *WORLD.findings, *WORLD.drugs, *WORLD.nodes]
    names += [value for values in WORLD.values.values() for value in values]
    assert len(set(names)) == len(names)


def test_every_disease_and_drug_has_one_value_in_every_relation() -> None:
    for disease in WORLD.diseases:
        drug = WORLD.drug_of(disease)
        assert WORLD.disease_of(drug) == disease
        assert all(WORLD.facts[disease, verb] in WORLD.values[verb] for verb in DISEASE_VERBS)
        assert all(WORLD.facts[drug, verb] in WORLD.values[verb] for verb in DRUG_VERBS)
    kinds = len(DISEASE_VERBS) + len(DRUG_VERBS) + 2
    assert len(WORLD.facts) == 30 * kinds + 12
    assert {verb for _, verb in WORLD.facts} == {*DISEASE_VERBS, *DRUG_VERBS, DRUG, REV, HOP}


def test_findings_tell_diseases_apart() -> None:
    assert len({frozenset(signs) for signs in WORLD.signs.values()}) == len(WORLD.diseases)
    for disease, shown in WORLD.asked.items():
        assert len(shown) == 3
        assert disease in WORLD.fitting(shown)
    assert WORLD.fitting(frozenset()) == ()


def test_the_chain_is_one_cycle_through_all_nodes() -> None:
    path = [WORLD.nodes[0]]
    while (after := WORLD.facts[path[-1], HOP]) != path[0]:
        path.append(after)
    assert sorted(path) == sorted(WORLD.nodes)
    walk = WORLD.walk(path[0])
    assert len(walk) == 5
    assert all(WORLD.facts[a, HOP] == b for a, b in pairwise(walk))


def test_exposure_falls_with_rank_and_terciles_follow_it() -> None:
    weights = [WORLD.weights[disease] for disease in WORLD.diseases]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(len(weights))
    terciles = [WORLD.tercile(disease) for disease in WORLD.diseases]
    assert terciles == [name for name in TERCILES for _ in range(10)]
    assert [WORLD.tercile(drug) for drug in WORLD.drugs] == terciles
    assert [WORLD.tercile(node) for node in WORLD.nodes] == [name for name in TERCILES for _ in range(4)]
