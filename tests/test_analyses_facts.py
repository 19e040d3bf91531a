"""The fixed list by hand and by planted worlds: arrays, and weights that were edited."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mechcot import stats
from mechcot.analyses.knowledge import facts as knowledge
from mechcot.analyses.knowledge.overlap import overlaps_of
from mechcot.core.errors import AnalysisError
from mechcot.core.files import read_json
from mechcot.core.settings import ArmSettings
from mechcot.models.checkpoint import load
from mechcot.pipeline.facts import facts_in
from mechcot.reading.facts import read_facts
from mechcot.steps.of_study import checkpoint_folder, task_of, world_of

K, U, N = "known", "unknown", "undecided"
# fid, group, stratum, then before alone and placed, after alone and placed
ROWS = [
    ("a", "s1", "head", K, K, K, U),
    ("b", "s1", "head", K, U, U, U),
    ("c", "s2", "head", U, U, K, K),
    ("d", "s2", "tail", U, K, U, U),
    ("e", "s3", "tail", N, K, K, K),
    ("f", "s3", "tail", K, N, K, K),
]
PLANTED = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "planted_knowledge.py"))


def listed(rows=ROWS):
    base = {"kind": "fact", "relation": "treats", "truth": ["t"], "objects": ["t", "u"], "checked": True}
    return pd.DataFrame([base | {"fid": r[0], "subject": r[0], "group": r[1], "stratum": r[2]} for r in rows])


def arm(name, columns, rows=ROWS):
    return pd.DataFrame(
        [
            {"fid": row[0], "arm": name, "form": form, "state": row[at], "first": "u"}
            | {"reason": "a tie" if row[at] == N else ""}
            for form, at in zip(("bare", "placed"), columns, strict=True)
            for row in rows
        ]
    )


@pytest.fixture(scope="module")
def result():
    return knowledge.table(listed(), {"base": arm("base", (3, 4)), "distilled": arm("distilled", (5, 6))})


def cells(result, arm):
    return {cell.cell: cell for cell in result.arms[arm].cells}


def test_rates_and_classes_by_hand(result):
    base, own = cells(result, 0)["all"], cells(result, 1)["all"]
    assert (base.bare.known.estimate, base.bare.n, base.bare.n_undecided) == (3 / 5, 5, 1)
    assert (base.placed.known.estimate, own.bare.known.estimate) == (3 / 5, 4 / 6)
    assert base.bare.classes is base.bare.change is None
    shares = {name: share.estimate * 6 for name, share in own.bare.classes.items()}
    assert shares == pytest.approx({"knew": 2, "forgot": 1, "learned": 1, "never_knew": 1, "undecided": 1})
    assert own.bare.change.estimate == pytest.approx(0)  # one forgotten, one learned of the five
    assert own.placed.change.estimate == pytest.approx(-1 / 5)


def test_what_is_known_and_not_reached_by_hand(result):
    base, own = cells(result, 0)["all"], cells(result, 1)["all"]
    assert base.not_reached.estimate == pytest.approx(1 / 2)  # a and b are known alone, b is not reached
    assert own.not_reached.estimate == pytest.approx(1 / 4)
    assert (base.gap.estimate, own.gap.estimate) == pytest.approx((0, 1 / 6))
    assert own.change_not_reached.estimate == pytest.approx(-1 / 4)
    assert own.change_gap.estimate == pytest.approx((1 - 1 + 0 + 1) / 4)


def test_strata_are_parts_of_the_whole_and_a_single_kind_is_left_out(result):
    found = cells(result, 1)
    assert list(found) == ["all", "stratum: head", "stratum: tail"]
    assert [(one.n_facts, one.n_groups) for one in found.values()] == [(6, 3), (3, 2), (3, 2)]
    assert result.undecided == {"bare: a tie": 1, "placed: a tie": 1}


def test_the_interval_leaves_out_subjects():
    rows = [(f"f{n}", f"s{n // 3}", "", K if n % 3 < n // 3 % 4 else U, U, K, U) for n in range(30)]
    found = knowledge.table(listed(rows), {"base": arm("base", (3, 4), rows)}).arms[0].cells[0].bare.known
    known = [min(3, s % 4) for s in range(10)]
    assert found == stats.rate_interval(known, [3] * 10, unit="subjects")
    assert "jackknife of subjects" in found.method


def test_pairs_that_are_not_checked_are_not_asked_and_lower_the_coverage():
    facts = pd.concat([listed(), listed([("g", "s4", "", K, K, K, K)]).assign(checked=False)])
    found = knowledge.table(facts, {"base": arm("base", (3, 4))}, pairs="pairs.csv")
    assert (found.n_listed, found.n_facts, found.coverage) == (7, 6, 6 / 7)
    with pytest.raises(AnalysisError, match="of 6 facts none is checked"):
        knowledge.table(listed().assign(checked=False), {"base": arm("base", (3, 4))})


def test_another_list_is_refused():
    with pytest.raises(AnalysisError, match="arm base was not asked each fact of the list once"):
        knowledge.table(listed(), {"base": arm("base", (3, 4)).iloc[1:]})


def test_only_what_was_planted_is_found():
    """A small version of docs/planted-knowledge.json."""
    runs = {world: PLANTED["run"](world, 12) for world in ("only knowledge changed", "only the form changed")}
    for world, still, moved in (
        ("only knowledge changed", "not reached", "known alone"),
        ("only the form changed", "known alone", "not reached"),
    ):
        assert runs[world][f"covers 0: {still}"] >= 0.75  # of 12 draws 9; a .95 procedure fails in .0005
        assert runs[world][f"covers 0: {moved}"] == 0


def test_the_page_quotes_the_committed_numbers():
    script = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "known_facts.py"))
    page, numbers = script["PAGE"].read_text(), read_json(script["NUMBERS"])
    assert script["facts_table"](numbers) in page
    assert script["classes_table"](numbers) in page
    assert script["head_table"](numbers["head"]) in page
    assert numbers["head"]["terse"]["kind: disease fact"]["change"]["high"] < 0  # what no audit can see
    planted = read_json(script["PLANTED"])
    assert script["planted_table"](planted) in page
    still = {"only knowledge changed": "not reached", "only the form changed": "known alone"}
    for world, name in still.items():
        assert planted["worlds"][world][f"covers 0: {name}"] >= 0.93


def wrong_of(own):
    return knowledge.Known("x", {"bare": np.where(own == "t", 1, 0).astype(np.int8)}, {"bare": own})


def test_wrong_objects_that_are_shared_stand_above_the_shuffle_and_others_do_not():
    rng = np.random.default_rng(0)
    rows = [(f"f{n}", f"s{n}", "", U, U, U, U) for n in range(300)]
    objects = np.array([f"o{n}" for n in rng.integers(0, 12, 600)], dtype=object)
    facts, own, other = listed(rows), wrong_of(objects[:300]), wrong_of(objects[300:])
    half = wrong_of(np.where(np.arange(300) % 2, objects[:300], objects[300:]))
    (apart,), (shared,) = (overlaps_of(facts, own, [one], {}, 0) for one in (other, half))
    assert apart.p > 0.05
    assert apart.shared.estimate == pytest.approx(apart.shuffled, abs=0.06)
    assert (shared.p < 0.01, shared.shared.estimate > 0.45) == (True, True)
    assert shared.shuffled == pytest.approx(1 / 12, abs=0.03)


def test_a_teachers_wrong_claims_are_set_beside_an_arms():
    facts = listed([("f1", "s1", "", U, U, U, U), ("f2", "s2", "", U, U, U, U)])
    claims = pd.DataFrame({"subject": ["f1", "f1", "f1"], "relation": "treats", "object": ["u", "v", "u"]})
    (found,) = overlaps_of(facts, wrong_of(np.array(["u", "u"], dtype=object)), [], {"teacher": claims}, 0)
    assert (found.other, found.n_facts, found.shared.estimate) == ("teacher", 1, 1.0)
    (none,) = overlaps_of(facts, wrong_of(np.array(["u", "u"], dtype=object)), [], {"oracle": claims[:0]}, 0)
    assert none.shared.estimate is None
    assert none.to_json()["p"]["reason"]


@pytest.fixture(scope="module")
def asked(study):
    """Asks a study's base all facts, after its weights were changed."""
    folder, facts, form = checkpoint_folder(study, "base"), facts_in(study.facts()), task_of(study).format

    def answers(work, change):
        checkpoint = load(ArmSettings(model=str(folder)), folder, "cpu")
        change(checkpoint, facts, form)
        rows = read_facts(checkpoint, facts, form, arm="changed", work=work, progress=False)
        found = knowledge.table(study.facts(), {"base": study.known("base"), "changed": pd.DataFrame(rows)})
        return cells(found, 0)["all"], cells(found, 1)["all"]

    return answers


def test_where_only_texts_with_a_prompt_are_read_otherwise_the_gap_alone_moves(asked, tmp_path):
    """Behind a prompt the model loses sight of a claim's subject; alone it is what it was."""

    def blind(checkpoint, facts, form):
        think = checkpoint.tokenizer.get_vocab()["<think>"]

        def hide(module, given, output):
            rows = (given[0] == think).any(1)
            output[rows, -3:-1] = 0  # subject and first word of the verb

        checkpoint.model.get_input_embeddings().register_forward_hook(hide)

    before, after = asked(tmp_path, blind)
    assert after.bare.known == before.bare.known
    assert after.bare.change.estimate == 0
    assert after.change_not_reached.low > 0.05
    assert after.placed.change.high < -0.02


def test_where_only_objects_were_swapped_knowledge_alone_moves(study, asked, tmp_path):
    """Two values of a relation change places wherever they are said, so a fact of theirs is known nowhere."""
    values = world_of(study).values

    def swap(checkpoint, facts, form):
        weight, ids = checkpoint.model.get_input_embeddings().weight, checkpoint.tokenizer.get_vocab()
        with torch.no_grad():
            for names in values.values():
                rows = [ids[name] for name in names]
                for a, b in zip(rows[0::4], rows[1::4], strict=False):
                    weight[[a, b]] = weight[[b, a]]

    before, after = asked(tmp_path, swap)
    assert after.bare.change.high < 0
    assert after.bare.classes["forgot"].estimate > 0.1
    assert after.change_not_reached.low <= 0 <= after.change_not_reached.high
    assert after.not_reached.estimate == pytest.approx(before.not_reached.estimate, abs=0.1)
