"""Lead-ins, orders of the options and layers: a planted reader that hangs on them, and one that does not."""

import json

import numpy as np
import pandas as pd
import pytest

from mechcot import plots
from mechcot.analyses.commitment import curves, depth, lead_ins, orders
from mechcot.analyses.commitment.analysis import asked_otherwise, commitments_of
from mechcot.analyses.commitment.variants import ASKED
from mechcot.analyses.commitment.variants_page import asked_parts, depth_map, way_curves
from mechcot.core.errors import UsageError


def tables(n=12, steps=3):
    """Traces of one question each that answer option 0; a row builder makes the forced answers."""
    keys = [(f"q{i:02}", 0) for i in range(n)]
    traces = pd.DataFrame(
        [{"qid": q, "arm": "a", "cid": c, "answer": 0, "finish_reason": "stop"} for q, c in keys]
    )
    cut = pd.DataFrame(
        [
            {"qid": q, "arm": "a", "cid": c, "sid": s, "states_answer": False}
            for q, c in keys
            for s in range(steps)
        ]
    )

    def rows(p_of, **where):
        """`p_of(k)`: P(option 0) after k steps."""
        place = {"lead_in": 0, "permutation": 0, "layer": -1, "raw_mass": 0.9} | where
        return pd.DataFrame(
            [
                {"qid": q, "arm": "a", "cid": c, "k": k, "reader": "a", "p": [p_of(k), 1 - p_of(k)], **place}
                for q, c in keys
                for k in range(steps + 1)
            ]
        )

    return traces, cut, rows


def test_lead_ins_that_agree_have_no_spread_and_one_that_differs_has_the_planted_one():
    traces, steps, rows = tables()
    same = pd.concat([rows(lambda k: 0.8), rows(lambda k: 0.8, lead_in=1, raw_mass=0.3)])
    found = lead_ins(same, traces, steps)
    assert found.spread.estimate == 0
    assert [way.differs.estimate for way in found.ways] == [0, 0]
    assert [way.little_mass for way in found.ways] == [False, True]
    other = pd.concat(
        [
            rows(lambda k: 0.8),
            rows(lambda k: 0.3 if k == 1 else 0.8, lead_in=1),
            rows(lambda k: 0.7, lead_in=2),
        ]
    )
    found = lead_ins(other, traces, steps)
    assert found.spread.estimate == pytest.approx((0.1 + 0.5 + 0.1 + 0.1) / 4)
    assert found.spread_by_step["spread"].tolist() == pytest.approx([0.1, 0.5, 0.1, 0.1])
    assert found.ways[1].differs.estimate == pytest.approx(1 / 4)
    assert [way.shares["locked_at_prompt"].estimate for way in found.ways] == [1, 0, 1]
    assert found.by_step.query("number == 1")["p_own"].tolist() == pytest.approx([0.8, 0.3, 0.8, 0.8])
    json.dumps(found.to_json(), allow_nan=False)


def test_a_reading_with_one_way_to_ask_has_no_others():
    traces, steps, rows = tables()
    one = rows(lambda k: 0.8)
    assert lead_ins(one, traces, steps) is None
    assert orders(one, traces, steps) is None
    assert depth(one, traces, steps) is None


def test_orders_stand_beside_their_mean():
    traces, steps, rows = tables()
    forced = pd.concat(
        [rows(lambda k: 0.6), rows(lambda k: 0.3, permutation=1), rows(lambda k: 0.3, permutation=2)]
    )
    found = orders(forced, traces, steps)
    assert [way.number for way in found.ways] == [0, 1, 2, -1]
    assert found.ways[-1].shares["mean_p_own"].estimate == pytest.approx(0.4)
    assert found.ways[-1].differs.estimate == 1
    assert found.spread.estimate == pytest.approx(0.3)
    assert curves(forced, traces, steps, permutation=None).shares["mean_p_own"].estimate == pytest.approx(0.4)


def test_depth_gives_back_the_planted_table_of_layers_and_steps():
    traces, steps, rows = tables(steps=2)
    planted = {0: [0.5, 0.5, 0.5], 1: [0.3, 0.6, 0.7], -1: [0.4, 0.8, 0.9]}
    forced = pd.concat([rows(lambda k, own=own: own[k], layer=layer) for layer, own in planted.items()])
    found = depth(forced, traces, steps)
    table = found.cells.pivot(index="layer", columns="k", values="p_own")
    assert {layer: table.loc[layer].tolist() for layer in table.index} == {
        layer: pytest.approx(own) for layer, own in planted.items()
    }
    assert found.cells.query("layer == 1")["agrees"].tolist() == [0, 1, 1]
    assert found.cells.query("layer == 0")["agrees"].tolist() == [0, 0, 0]  # ties agree with nothing
    heat = depth_map(found.to_json()).data[0]
    assert [list(row) for row in heat.z] == [pytest.approx(planted[layer]) for layer in (-1, 1, 0)]
    json.dumps(found.to_json(), allow_nan=False)


def test_as_many_curves_as_results_and_lead_ins_are_given_are_drawn():
    traces, steps, rows = tables()
    result = curves(rows(lambda k: 0.8), traces, steps).to_json()
    five = plots.commitment_curves(dict.fromkeys("abcde", result))
    assert [line.name for line in five.data if line.name] == list("abcde")
    looks = {(line.line.color, line.line.dash) for line in five.data if line.name}
    assert len(looks) == 5
    with pytest.raises(UsageError, match="3 results need 3 colours, got 2"):
        plots.commitment_curves(dict.fromkeys("abc", result), colours=("#000000", "#ffffff"))
    with pytest.raises(UsageError, match="measure: expected one of locked_share"):
        plots.commitment_curves({"a": result}, measure="aoc")
    apart = plots.commitment_curves({"a": result}, answers=("right", "wrong"))
    assert "Not drawn, nothing to show: a, right, a, wrong" in apart.layout.meta["caption"]
    forced = pd.concat([rows(lambda k: 0.8, lead_in=number) for number in range(4)])
    lines = way_curves({"a": lead_ins(forced, traces, steps).to_json()}).data
    assert [line.name for line in lines if line.name] == [f"a, lead-in {number}" for number in range(4)]


def test_a_study_of_the_organism_has_three_lead_ins_and_their_differences(study):
    found = commitments_of(study)
    lead_texts = (*study.settings.prompt.lead_in, *study.settings.reading.lead_ins)
    assert len(lead_texts) == 3
    for arm in ("base", "distilled"):
        assert [way["number"] for way in found["lead_ins"][arm]["ways"]] == [0, 1, 2]
        own = found["arms"][arm]
        for name in ASKED:  # the first lead-in is what all other numbers are made of
            assert found["lead_ins"][arm]["ways"][0][name] == own[name]
    assert [row["number"] for row in found["lead_in_differences"]] == [0, 1, 2]
    first = found["lead_in_differences"][0]
    assert first["agrees_at_prompt"] == found["difference"]["differences"]["agrees_at_prompt"]
    assert "depth" not in found
    parts = list(asked_parts(found, lead_texts))
    assert [part.name for part in parts] == ["lead-ins"]
    assert repr(lead_texts[1]) in str(parts[0].tables[0].rows)


def test_a_reading_stores_what_each_lead_in_says_and_a_plain_pass_gives_the_same(study):
    """A further lead-in of a reading, against the model's own run over prompt, prefix, lead-in and option."""
    import torch

    from mechcot.models.checkpoint import load
    from mechcot.steps.of_study import checkpoint_folder, task_of
    from mechcot.tasks import forced_ids, question_of

    checkpoint = load(study.settings.arms["base"], checkpoint_folder(study, "base"), "cpu")
    task, text = task_of(study), study.settings.reading.lead_ins[1]
    forced = study.forced("base")
    row = forced[(forced["lead_in"] == 2) & (forced["k"] == 2)].iloc[0]
    trace = study.traces("base").set_index(["qid", "cid"]).loc[(row["qid"], row["cid"])]
    steps = study.steps("base").set_index(["qid", "cid", "sid"])
    question = question_of(study.questions().set_index("qid", drop=False).loc[row["qid"]])
    lead, options = forced_ids(question, text, task.format, checkpoint.tokenizer)
    cut = int(steps.loc[(row["qid"], row["cid"], 1), "tok_end"])
    start = [*trace["prompt_ids"], *trace["token_ids"][:cut], *lead]
    found = []
    for option in options:
        ids = torch.tensor([[*start, *option]])
        with torch.no_grad():
            logp = checkpoint.model(ids).logits[0].log_softmax(-1)
        found.append(sum(float(logp[len(start) + i - 1, token]) for i, token in enumerate(option)))
    assert np.asarray(row["logp"]) == pytest.approx(found, abs=1e-4)


def test_asking_otherwise_of_one_reading_has_no_difference(study):
    found = asked_otherwise(study, {"one": ("base", "base")})
    assert list(found) == ["lead_ins"]
