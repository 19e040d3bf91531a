"""The same claims with a hedge and without: the word's share, what is left of it, and pairs of real texts."""

import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mechcot import Study
from mechcot.analyses import both_ways
from mechcot.analyses.hedge_pairs import making, page
from mechcot.analyses.hedge_pairs.analysis import Claims, analyse, by_kind, without
from mechcot.analyses.hedge_pairs.design import PAIRS, WORD_IN, WORD_OUT, key_of
from mechcot.core.errors import AnalysisError
from mechcot.core.localisation_settings import LocalisationSettings
from mechcot.core.settings import Settings
from mechcot.models.checkpoint import load
from mechcot.steps import hedging
from mechcot.steps.of_study import checkpoint_folder, task_of
from mechcot.tasks.tokens import decode

D, WORD, DOUBT = 10, 0, 1


def planted(seed=0, *, doubt=1.0, word=3.0, after_doubt=DOUBT):
    """Pairs whose hedge adds its word (dimension 0) and doubt (dimension 1); claims hedged by doubt."""
    rng = np.random.default_rng(seed)
    n = 80
    pairs = pd.DataFrame(
        {
            "qid": [f"q{i // 2:02d}" for i in range(n)], "cid": 0, "sid": np.arange(n),
            "kind": ["find", "drug"] * (n // 2), "was_hedged": np.arange(n) % 4 == 0,
            "hedged_ids": [[7]] * n, "plain_ids": [[]] * n,
        }
    )  # fmt: skip

    def states(axis):
        table = rng.normal(size=(n, D))
        table[:, WORD] += word
        table[:, axis] += doubt
        return {
            **{key_of(position, 1): table.astype(np.float32) for position in ("behind", "end")},
            WORD_IN: np.eye(D, dtype=np.float32)[WORD] * 2,
            WORD_OUT: np.eye(D, dtype=np.float32)[WORD] + 0.2 * np.eye(D, dtype=np.float32)[2],
        }

    m = 240
    inner = rng.normal(size=m)
    X = rng.normal(size=(m, D))
    X[:, DOUBT] += 1.5 * inner
    question = np.array([f"q{i % 40:02d}" for i in range(m)])
    claims = Claims(
        {1: X}, np.arange(m) % 2, question, (np.arange(m) % 40) % 2, inner > 0.3,
        np.where(rng.random(m) < 1 / (1 + np.exp(-2 * inner)), "erroneous", "correct"),
    )  # fmt: skip
    about = {"layers": [1], "source": "the task's own hedge", "lost": {"no": 3}, "no_states": {}}
    return analyse(
        pairs,
        {"base": states(DOUBT), "student": states(after_doubt)},
        {"base": claims, "student": None},
        about,
        ("base", "student"),
        seed=seed,
    )


def place(found, arm="base", position="end"):
    return next(one for one in found.places if (one.arm, one.position) == (arm, position))


def cosine(found, of):
    return next(one for one in found.cosines if (one.of, one.position) == (of, "end"))


def test_doubt_is_found_behind_the_word_and_the_word_is_told_apart():
    found = planted()
    own = place(found)
    assert own.held.estimate > 0.95
    assert own.word_in > 0.8
    assert 0.8 < own.word_share < 0.95  # 9 of 10
    assert own.foretells_rest.low > 0.7
    assert own.foretells_rest.estimate > own.foretells.estimate
    assert own.errors.low > 0.5
    rest = found.direction(layer=1).vector
    assert rest[WORD] == pytest.approx(0, abs=1e-6)
    assert rest[DOUBT] == pytest.approx(1.0, abs=0.3)
    assert found.direction(layer=1, rest=False).vector[WORD] == pytest.approx(3.0, abs=0.3)
    assert cosine(found, "arms").cosine > 0.8
    assert cosine(found, "arms").chance.p < 0.02
    assert cosine(found, "claims").cosine > 0.8
    part = page.part(SimpleNamespace(results={"hedge_pairs": found.to_json()}))
    assert "still foretells hedges before they are said" in part.sentence
    assert part.tables[1].rows[0][:3] == ("student, same texts", "behind", "1")
    assert "Steps without a pair: 3: no" in part.tables[0].note
    assert place(found, "student").foretells.reason == "the task reads no claims"
    with pytest.raises(AnalysisError, match=r"no direction of base at end, layer 9; there are arms"):
        found.direction(layer=9)


def test_a_hedge_that_is_its_word_alone_foretells_nothing():
    told = [planted(seed, doubt=0.0) for seed in range(6)]
    assert all(place(found).held.estimate > 0.9 for found in told)  # the word is there in every pair
    assert all(place(found).word_share > 0.8 for found in told)
    assert sum(place(found).foretells_rest.low > 0.5 for found in told) <= 1
    assert sum(cosine(found, "arms").chance.p <= 0.05 for found in told) <= 1
    found = min(told, key=lambda found: place(found).foretells_rest.low)
    part = page.part(SimpleNamespace(results={"hedge_pairs": found.to_json()}))
    assert "does not foretell hedges" in part.sentence


def test_arms_whose_doubt_lies_elsewhere_are_not_alike():
    found = planted(after_doubt=5)
    assert abs(cosine(found, "arms").cosine) < 0.5
    assert cosine(found, "claims").cosine > 0.8


def test_means_over_kinds_and_planes_by_hand():
    table = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 8.0]])
    assert by_kind(table, np.array([0, 0, 1])) == pytest.approx([1.0, 4.0])
    signs = np.array([[1.0, -1.0, 1.0]])
    assert by_kind(table, np.array([0, 0, 1]), signs)[0] == pytest.approx([-0.5, 4.0])
    assert without(np.array([3.0, 4.0]), np.array([[1.0, 0.0]])) == pytest.approx([0.0, 4.0])
    assert without(np.array([3.0, 4.0]), np.empty((0, 2))) == pytest.approx([3.0, 4.0])


# --- through a study ------------------------------------------------------------------------------


def copied(study, folder):
    shutil.copytree(study.path, folder)
    asked = {"localisation": LocalisationSettings(slots=2).model_dump()}
    return Study(folder, Settings(**study.settings.model_dump(mode="json") | asked))


def test_a_study_is_read_both_ways(study, tmp_path):
    own = copied(study, tmp_path / "study")
    making.make(own, task_of(own), partial(checkpoint_folder, own), tmp_path / "work", progress=False)
    tokenizer = load(own.settings.arms["base"], checkpoint_folder(own, "base"), "cpu").tokenizer
    pairs, _ = both_ways.pairs_of(own, "base", task_of(own), tokenizer, 2)
    traces = {(row.qid, row.cid): row for row in study.traces("base").itertuples()}
    for pair in pairs:
        trace = traces[pair.row["qid"], pair.row["cid"]]
        whole = (*trace.prompt_ids, *trace.token_ids)
        as_written = pair.hedged if pair.row["was_hedged"] else pair.plain
        assert as_written == tuple(whole[: len(as_written)]), "as the arm wrote it"
        assert decode(tokenizer, pair.row["hedged_ids"]).strip() == "perhaps"
        assert pair.row["plain_ids"] == []
    table = pd.read_parquet(own.path / "hedge-pairs" / "pairs.parquet")
    assert list(table.columns) == PAIRS.names
    found = own.hedge_pairs()
    assert found.n_pairs == len(pairs) == len(table)
    assert {(one.arm, one.layer) for one in found.places} == {
        (arm, layer) for arm in ("base", "distilled") for layer in (1, 2)
    }
    assert place(found).held.estimate > 0.5
    assert len(found.to_frame()) == len(found.places)


def test_a_killed_reading_goes_on_where_it_stopped(study, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "TOKENS", 1500)  # several batches
    real, calls = making._read, []

    def made(own, kill_at=None):
        def counted(*arguments):
            calls.append(1)
            if len(calls) == kill_at:
                raise KeyboardInterrupt
            return real(*arguments)

        calls.clear()
        monkeypatch.setattr(making, "_read", counted)
        work = own.path.parent / f"work-{own.path.name}"
        making.make(own, task_of(own), partial(checkpoint_folder, own), work, progress=False)
        return {file.name: file.read_bytes() for file in sorted((own.path / "hedge-pairs").iterdir())}

    files = made(copied(study, tmp_path / "whole"))
    passes, again = len(calls), copied(study, tmp_path / "again")
    kill_at = passes // 2 + 3  # in the second arm, within its second batch or behind
    with pytest.raises(KeyboardInterrupt):
        made(again, kill_at)
    assert made(again) == files
    assert len(calls) == passes - (kill_at - 1) // 2 * 2  # two passes a batch; whole batches were kept


def test_rules_write_the_other_form_where_the_task_cannot(study, tmp_path, monkeypatch):
    own = copied(study, tmp_path / "study")
    task = replace(task_of(own), hedge_pair=None)
    tokenizer = load(own.settings.arms["base"], checkpoint_folder(own, "base"), "cpu").tokenizer
    none, lost = both_ways.pairs_of(own, "base", task, tokenizer, 2)
    assert not none
    assert lost[both_ways.UNKNOWN], "the small vocabulary has no word for the rules' hedge"
    monkeypatch.setattr(hedging, "HEDGE", "perhaps")
    making.make(own, task, partial(checkpoint_folder, own), tmp_path / "work", progress=False)
    found = own.hedge_pairs()
    assert found.source == "rules for English (steps/hedging.py)"
    assert found.n_pairs >= making.FEWEST
    monkeypatch.setattr(making, "FEWEST", 10**6)
    making.make(own, task, partial(checkpoint_folder, own), tmp_path / "work", progress=False)
    with pytest.raises(AnalysisError, match="claims can be written with a hedge and without; 1000000 are"):
        own.hedge_pairs()
