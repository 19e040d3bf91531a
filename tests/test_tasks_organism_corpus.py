from collections import Counter

import pytest

from mechcot.core.training_settings import OrganismSettings
from mechcot.tasks.organism.corpus import Corpus, hedge_probability
from mechcot.tasks.organism.tokenizer import THINK, vocabulary
from mechcot.tasks.organism.world import HOP, build_world

SETTINGS = OrganismSettings(diseases=30, chain_nodes=12, hop_share=0.1)
WORLD = build_world(SETTINGS, 7)


def test_batches_depend_on_nothing_but_world_seed_and_step() -> None:
    one, other = Corpus(WORLD, SETTINGS, 7), Corpus(WORLD, SETTINGS, 7)
    for step in range(5):
        one.facts(step), one.posts(step)
    assert one.facts(3) == other.facts(3)
    assert one.posts(3) == other.posts(3)
    assert one.facts(3) != one.facts(4)
    assert one.posts(3) != Corpus(WORLD, SETTINGS, 8).posts(3)


def test_rows_use_the_vocabulary_and_learn_from_the_right_place() -> None:
    known = set(vocabulary(WORLD))
    corpus = Corpus(WORLD, SETTINGS, 7)
    facts, posts = corpus.facts(0), corpus.posts(0)
    assert (len(facts), len(posts)) == (SETTINGS.fact_rows, SETTINGS.post_rows)
    for row in [*facts, *posts]:
        assert set(row.words) <= known
        assert row.words[-1] == "<eos>"
    assert all(row.words[row.learnt_from - 1] == THINK for row in posts)
    assert all(row.words[row.learnt_from] == "this" for row in facts if row.words[0] == "case")
    assert all(row.learnt_from == 1 for row in facts if row.words[0] != "case")


def test_facts_are_true_but_for_the_hedge() -> None:
    corpus = Corpus(WORLD, SETTINGS, 7)
    for row in (row for step in range(10) for row in corpus.facts(step)):
        words = [word for word in row.words if word != "perhaps"]
        if words[0] == "case":
            assert words[-3] in WORLD.fitting(frozenset(words[1:4]))
        else:
            assert WORLD.facts[words[0], " ".join(words[1:-3])] == words[-3]


def hedge_shares(rank: int, verbs: set[str]) -> tuple[int, int]:
    corpus = Corpus(WORLD, SETTINGS, 7)
    disease = WORLD.diseases[rank]
    counts: Counter[bool] = Counter()
    for row in (row for step in range(250) for row in corpus.facts(step)):
        if row.words[0] == disease and verbs & set(row.words):
            counts["perhaps" in row.words] += 1
    return counts[True], counts.total()


@pytest.mark.parametrize("rank", [0, 3, 6, 10, 20])
@pytest.mark.parametrize("core", [True, False])
def test_hedges_follow_exposure_by_rule(rank: int, core: bool) -> None:
    verbs = {"responds"} if core else {"results", "raises", "involves", "affects", "follows", "progresses"}
    hedged, total = hedge_shares(rank, verbs)
    p = hedge_probability(WORLD, WORLD.diseases[rank], core=core)
    assert total > 30
    assert hedged / total == pytest.approx(p, abs=4 * (p * (1 - p) / total) ** 0.5 + 0.02)


def test_hedging_rule_at_full_size() -> None:
    world = build_world(OrganismSettings(), 7)
    shares = [hedge_probability(world, disease, core=True) for disease in world.diseases]
    assert shares == sorted(shares)
    assert [round(shares[rank], 2) for rank in (0, 20, 80, 159)] == [0.0, 0.09, 0.64, 0.9]
    for disease, share in zip(world.diseases, shares, strict=True):
        assert hedge_probability(world, disease, core=False) > share


def test_a_post_answers_after_its_choice_or_leaves_the_picture_open() -> None:
    corpus = Corpus(WORLD, SETTINGS, 7)
    seen: Counter[str] = Counter()
    for row in (row for step in range(20) for row in corpus.posts(step)):
        words, answer = row.words, row.words[-2]
        assert words[-4:-2] == ("</think>", "answer")
        assert answer in words[: row.learnt_from]
        if "unclear" in words:
            seen["vague"] += 1
        else:
            seen[words[0]] += 1
            assert words[-7:-4] == ("choose", answer, ".")
    assert min(seen[kind] for kind in ("vague", "case", "trace")) > 5


def test_the_hops_of_unmet_nodes_are_never_shown() -> None:
    corpus = Corpus(WORLD, SETTINGS, 7)
    unmet = set(WORLD.nodes[-2:])
    assert {node for node in WORLD.nodes if not WORLD.node_weights[node]} == unmet
    shown, starts = set(), set()
    for row in (row for step in range(60) for row in [*corpus.facts(step), *corpus.posts(step)]):
        words = [word for word in row.words if word != "perhaps"]
        shown |= {(words[i - 1], words[i + 2]) for i, word in enumerate(words) if word == "leads"}
        starts |= {words[1]} if words[0] == "trace" else set()
    true = {(node, WORLD.facts[node, HOP]) for node in WORLD.nodes}
    assert shown & true == {(node, after) for node, after in true if node not in unmet}
    assert {node for node, _ in shown - true} == unmet
    assert starts == set(WORLD.nodes)
