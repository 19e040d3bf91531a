"""How seldom the arm before meets what steps are about: strata of the split where no task tells them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mechcot import Study
from mechcot.core import records
from mechcot.core.stages import Stage, run_stages
from mechcot.pipeline.plan import plan_stages
from mechcot.pipeline.step_strata import step_strata_stages
from mechcot.steps.content_words import content_words
from mechcot.steps.hedge_words import unhedged
from written_text import ARMS, stages_named, written_text

NAMES = ("step-kinds", "step-strata", "judge", "audit")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = written_text(tmp_path_factory.mktemp("text") / "study")
    (row,) = plan_stages(study.path, stages_named(study, "step-strata")).rows
    assert (
        row.n
        == len({w for arm in ARMS for t in study.cut_steps(arm).text for w in content_words(unhedged(t))})
        > 10
    )
    run_stages(study.path, stages_named(study, *NAMES), {})
    return study


def test_words_are_those_of_four_letters_each_once():
    assert content_words("The β-blocker, the BLOCKER: 20 mg of it, naïve; drug_name") == (
        "blocker", "naïve", "drug", "name",
    )  # fmt: skip
    assert content_words("ﬁbre Straße 2024 a1b2c3d4") == ("fibre", "strasse")
    assert content_words("is it so? 42!") == ()


def test_a_step_is_of_its_least_probable_word_to_the_arm_before(study):
    folder = study.path.parent / ARMS[0]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def alone(word):
        ids = [tokenizer.eos_token_id, *tokenizer(word)["input_ids"]]
        with torch.no_grad():
            logp = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
        return float(logp[range(len(ids) - 1), ids[1:]].sum())

    known = {}
    for arm in ARMS:
        steps, strata = study.cut_steps(arm), study.strata(arm)
        for text, subject, frequency in zip(steps.text, strata.subject, strata.frequency, strict=True):
            words = {word: known.setdefault(word, alone(word)) for word in content_words(unhedged(text))}
            assert subject == min(words, key=words.get)
            assert frequency == pytest.approx(words[subject], rel=1e-4)


def test_strata_are_thirds_of_both_arms_steps_and_the_cells_of_the_split(study):
    both = pd.concat([study.strata(arm) for arm in ARMS])
    ordered = both.frequency.sort_values(ignore_index=True)
    low, high = (ordered.quantile(share) for share in (1 / 3, 2 / 3))
    assert (both.stratum == "rare").equals(both.frequency <= low)
    assert (both.stratum == "frequent").equals(both.frequency > high)
    assert both.stratum.nunique() > 1
    audit = study.result("audit")
    assert audit["cells"] == "kind x stratum"
    fine = audit["resolutions"]["kind x stratum"]
    cells = {
        (role, stratum)
        for arm in ARMS
        for role, stratum in zip(study.steps(arm).role, study.strata(arm).stratum, strict=True)
    }
    assert fine["n_cells"] == len(cells)


def test_steps_without_a_word_have_no_stratum(tmp_path):
    study = written_text(tmp_path / "study", n_questions=3)
    steps = study.cut_steps("base")
    steps.loc[0, "text"] = "42 is so."
    path = study.arm_path("base") / "steps.parquet"
    write = partial(records.write_table, path, steps, records.STEPS)
    texts = ("arms/base/traces.parquet",)
    run_stages(
        study.path, [Stage("steps-base", 2, {}, texts, ("arms/base/steps.parquet",), lambda _: write())], {}
    )
    run_stages(study.path, stages_named(study, "step-strata"), {})
    first = study.strata("base").iloc[0]
    assert (first.subject, first.stratum) == ("", "")
    assert np.isnan(first.frequency)


def test_an_arm_before_without_weights_has_no_such_stage(study):
    arms = study.settings.arms
    given = arms["base"].model_copy(update={"traces": "traces.parquet", "model": None})
    less = study.settings.model_copy(update={"arms": arms | {"base": given}})
    assert step_strata_stages(Study(study.path, less), False) == []
