"""What is hedged where a task reads no claims: whole steps, by the lexicon, read before their first word."""

import shutil

import numpy as np
import pytest
import torch

import written_text
from mechcot.analyses.claimed import CLAIMS, STEPS, at_claims, claimed, unit_of
from mechcot.analyses.hedge import page
from mechcot.analyses.hedge.analysis import hedge_json, hedge_of
from mechcot.analyses.hedge.places import hedge_directions_of
from mechcot.core import files
from mechcot.core.errors import AnalysisError
from mechcot.core.records import STEP_KEY
from mechcot.core.stages import run_stages
from mechcot.report.parts import Findings
from mechcot.study.activations import finish_store, tensor_name, write_shard
from written_study import written_study
from written_text import ARMS, stages_named

LAYERS, WIDTH = 2, 8
WAYS = ("Fever number {n} is caused by proteins of the body.", "Fever {n} is probably caused by proteins.")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Mechanisms are said with a hedge every other time; at layer 1 the token before them knows it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(written_text.SENTENCES, "mechanism", WAYS)
        study = written_text.written_text(
            tmp_path_factory.mktemp("hedged") / "study", n_questions=24, n_traces=4
        )
    run_stages(study.path, stages_named(study, "judge"), {})
    for number, arm in enumerate(ARMS):
        read_as(study, arm, np.random.default_rng(number), ("before", "end"))
    return study


def read_as(study, arm, rng, rules):
    """A reading of an arm by itself in which dimension 0 of layer 1 holds the hedge before each step."""
    steps = study.steps(arm)
    hedged = steps.text.str.contains("probably|suggest").to_numpy(float)
    tensors = {}
    for layer in range(LAYERS):
        for rule in rules:
            values = rng.normal(size=(len(steps), WIDTH))
            values[:, 0] += 3 * layer * hedged
            tensors[tensor_name(layer, rule)] = torch.tensor(values, dtype=torch.float32)
    path = study.reading_path(arm, arm) / "activations"
    path.mkdir(parents=True)
    shard = write_shard(path, 0, tensors)
    about = {
        "reader": arm, "model_digest": "", "sites": ["resid_post"], "layers": list(range(LAYERS)),
        "rules": list(rules), "dtype": "float32", "d_model": WIDTH, "packing": {},
        "steps_digest": files.digest(study.arm_path(arm) / "steps.parquet"),
    }  # fmt: skip
    index = steps[STEP_KEY].assign(shard=0, row=np.arange(len(steps)))
    finish_store(path, index, [shard], about)


def test_a_step_is_a_claim_of_its_kind_hedged_where_the_lexicon_says_so(study):
    assert unit_of(study) == STEPS
    steps = study.steps("base")
    rows = claimed(study, "base", steps)
    whole = steps[steps.complete]
    assert rows[STEP_KEY].equals(whole[STEP_KEY].reset_index(drop=True))
    assert rows.hedged.tolist() == whole.text.str.contains("probably|suggest").tolist()
    assert rows.relation.tolist() == [
        "mechanism" if hedged else role for hedged, role in zip(rows.hedged, whole.role, strict=True)
    ]  # rules take "probably" and "suggest" for signs of a conclusion
    assert claimed(study, "base", steps[:3]).equals(rows[:3])
    assert rows.tok_decision.tolist() == (whole.tok_start - 1).tolist()


def test_the_direction_before_hedged_steps_is_found_and_kinds_that_never_hedge_tell_nothing(study):
    found = hedge_of(study)
    assert found.before.relations["finding"]["hedged"] == 0  # never hedged: not used
    assert [kind for kind, cell in found.before.relations.items() if cell["used"]] == ["mechanism"]
    noise, doubt = found.before.by_layer
    assert doubt.auroc.low > 0.9
    assert noise.shuffled.p > 0.05
    assert abs(found.direction(layer=1).vector[0]) > 2
    assert found.card["position"] == "the token before a step"
    assert found.before.unit == found.after.unit == STEPS
    assert "of its steps" in repr(found.before)
    assert "was not asked" in found.before.frequency_is
    section = page.doubt(Findings(study.settings, {"hedge": hedge_json(study)}))
    assert "a whole step counts as hedged where a lexicon finds a hedge in it" in section.reading
    hedge, moved = section.parts
    assert hedge.sentence.startswith("Inside base, what will be hedged can be told ")
    assert "of its steps and distilled " in hedge.sentence
    assert "wrong steps that distilled asserts" in moved.sentence
    assert "Pairs within one kind of step only." in hedge.figure.to_json()
    positions = {one.position for one in hedge_directions_of(study).places}
    assert positions == {"before", "end"}


def test_how_seldom_words_are_met_stands_beside_it(study):
    run_stages(study.path, stages_named(study, "step-strata"), {})
    before = hedge_of(study).before
    assert before.frequency_is == "the log-probability of a step's least probable word under base"
    assert before.by_layer[1].frequency.n_pairs > 0
    assert before.by_layer[1].frequency.minus_inside.low > 0
    strata = study.strata("base").set_index(STEP_KEY).subject
    rows = claimed(study, "base", study.steps("base")).set_index(STEP_KEY)
    assert rows.subject.equals(strata.loc[rows.index])


def test_the_token_before_has_to_be_kept(study, tmp_path):
    path = study.reading_path("base", "base") / "activations"
    kept = path.rename(tmp_path / "kept")
    try:
        read_as(study, "base", np.random.default_rng(0), ("end",))
        with pytest.raises(AnalysisError, match=r"has no rule before.*Add before to reading\.rules"):
            at_claims(study, "base")
    finally:
        shutil.rmtree(path)
        kept.rename(path)


def test_where_a_task_reads_claims_they_are_what_is_hedged(tmp_path):
    organism = written_study(tmp_path / "organism")
    assert unit_of(organism) == CLAIMS
    assert claimed(organism, "base", organism.steps("base")).equals(organism.claims("base"))
