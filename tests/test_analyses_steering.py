"""Hedging put back: passes against plain ones, planted directions, doses by hand, and through a study."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from called import called
from conftest import tiny_model
from mechcot import Study, plots, steer
from mechcot.analyses.steering import bench, passes, writing
from mechcot.analyses.steering.analysis import analyse, dose_at
from mechcot.analyses.steering.design import ABLATE, ADD, SELECT, TEST, Edit, asked_of, edits_of, parts_of
from mechcot.analyses.steering.page import _random, answer, itself
from mechcot.analyses.steering.passes import Place, Text
from mechcot.analyses.steering.strength import Candidate, Strength, choose, choose_scale
from mechcot.core.errors import AnalysisError, ReadingError
from mechcot.core.settings import Settings
from mechcot.core.steering_settings import SteeringSettings
from mechcot.models.directions import Direction, load_direction, save_directions
from mechcot.models.interventions import add
from mechcot.stats.direction_forms import FORMS
from mechcot.steps.of_study import checkpoint_folder, task_of

VOCABULARY = 64


def texts(n=5, seed=0):
    """Texts of several lengths, each with places of claims."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        prompt, ids = (tuple(int(t) for t in rng.integers(3, 40, size)) for size in (4 + i % 2, 6 + 3 * i))
        places = tuple(Place(at, "drug", at, 7 + at, at % 2) for at in range(0, len(ids) - 1, 3))
        found.append(Text(f"q{i}", 0, TEST, prompt, ids, places))
    return found


# --- passes ---------------------------------------------------------------------------------------


def by_itself(model, text):
    """Log-probabilities of one text alone, float64, [tokens, vocabulary]."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*text.prompt, *text.ids]])).logits[0]
    start = len(text.prompt) - 1
    return torch.log_softmax(logits[start : start + len(text.ids)].double(), -1)


def test_what_an_edit_moves_equals_plain_passes_over_each_text_alone():
    model = tiny_model("qwen3")
    direction = np.random.default_rng(1).normal(size=model.config.hidden_size)
    edited = partial(add, model, direction, layers=[1], scale=0.3)
    for one in passes.moved(model, texts(), edited):
        plain = by_itself(model, one.text)
        with edited():
            other = by_itself(model, one.text)
        rows = [place.at + 1 for place in one.text.places]
        neutral = [row for row in range(len(one.text.ids)) if row not in rows]
        far = (plain.exp() * (plain - other)).sum(-1)
        assert one.n_tokens == len(neutral)
        assert one.divergence == pytest.approx(float(far[neutral].sum()), rel=1e-4)
        for row, place, gained, p in zip(rows, one.text.places, one.gained, one.p_hedge, strict=True):
            before, after = (float(torch.logit(t[row].exp()[place.token])) for t in (plain, other))
            assert gained == pytest.approx(after - before, rel=1e-4, abs=1e-5)
            assert p == pytest.approx(float(other[row, place.token].exp()), rel=1e-4)


def test_surprise_is_minus_the_log_probability_of_the_text():
    model, given = tiny_model("llama"), texts()
    for text, value in zip(given, passes.surprise(model, given), strict=True):
        own = by_itself(model, text)[range(len(text.ids)), list(text.ids)]
        assert value == pytest.approx(-float(own.sum()), rel=1e-5)


def test_no_edit_moves_nothing():
    from contextlib import nullcontext

    for one in passes.moved(tiny_model("qwen3"), texts(), nullcontext):
        assert one.divergence == 0.0
        assert set(one.gained) <= {0.0}


def test_a_direction_wired_to_a_word_gains_what_it_is_wired_for():
    """Added behind the last layer of a model whose norm is off, the word's logit rises by the product."""
    model = tiny_model("qwen3")
    model.model.norm = torch.nn.Identity()
    token, width = 9, model.config.hidden_size
    with torch.no_grad():
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[token, 0] = 2.0
    direction = np.zeros(width)
    direction[0] = 1.5
    last = model.config.num_hidden_layers
    given = [Text("q", 0, TEST, (3, 4), (5, 6, 8, 10), (Place(0, "drug", 1, token, 0),))]
    (one,) = passes.moved(model, given, partial(add, model, direction, layers=[last], scale=2.0))
    # the log-odds of one word among others move by exactly what its logit moves by
    assert one.gained[0] == pytest.approx(2.0 * 1.5 * 2.0, rel=1e-4)


# --- choosing -------------------------------------------------------------------------------------


def test_what_is_added_is_the_strongest_of_the_calm_ones_before_the_last_layers():
    effects = {"means": [0.2, 0.9, 0.4, 0.5, 3.0], "logistic": [0.3, 0.1, 1.1, 0.6, 2.0]}
    tried = [
        Candidate(layer, form, effect, 0.3 if (form, layer) == ("logistic", 3) else 0.05)
        for form, own in effects.items()
        for layer, effect in enumerate(own, 1)
    ]
    chosen = choose(tuple(tried))
    assert (chosen.used, chosen.without_cut, chosen.undamaged) == (tried[1], tried[4], True)
    assert choose(tuple(tried[5:])).used == tried[8]  # of the logistic ones layer 3 diverges
    wild = tuple(replace(one, divergence=0.2 + one.layer / 10) for one in tried)
    assert (choose(wild).used, choose(wild).undamaged) == (wild[0], False)


@pytest.mark.parametrize(
    ("shares", "far", "found"),
    [
        ((0.0, 0.1, 0.4, 0.6), (0, 0.01, 0.05, 0.5), (2.0, "")),
        ((0.0, 0.1, 0.2, 0.6), (0, 0.01, 0.05, 0.5), (3.0, "damage")),
        ((0.0, 0.1, 0.2, 0.15), (0, 0.01, 0.05, 0.5), (2.0, "not reached")),
        ((0.0, 0.0, float("nan"), float("nan")), (0, 0.01, 0.05, 0.5), (2.0, "not reached")),
    ],
)
def test_the_strength_is_the_least_that_brings_hedges_back(shares, far, found):
    strengths = tuple(Strength(float(n), s, d, 0.0) for n, (s, d) in enumerate(zip(shares, far, strict=True)))
    assert choose_scale(strengths, 0.3) == found


def test_whole_groups_go_to_one_part_and_half_of_what_is_asked_chooses():
    group = {f"q{i}": f"g{i // 3}" for i in range(36)}
    parts = parts_of(list(group), group, 1)
    assert all(len({parts[q] for q, own in group.items() if own == name}) == 1 for name in group.values())
    assert parts == parts_of(list(group), group, 1)
    asked = asked_of(parts, SteeringSettings(questions=12))
    assert sorted(asked.values()) == [SELECT] * 6 + [TEST] * 6


def test_scales_need_one_above_zero_and_no_zero():
    for scales in ((0.0, 1.0), (-1.0,), (1.0, 1.0)):
        with pytest.raises(ValueError, match="scales must differ"):
            SteeringSettings(scales=scales)


# --- doses ----------------------------------------------------------------------------------------


def written(
    n_questions=12, *, hedge=lambda scale, arm: 0, wrong=lambda scale, arm, q: 0, silent=lambda scale: 0
):
    """Tables as the stage writes them: each trace makes four claims, `hedge` and `wrong` of them so."""
    asked = SteeringSettings(questions=12, samples=2, scales=(1.0, 2.0), random=3)
    edits = [*edits_of(asked), *(Edit(ADD, 1.0, draw) for draw in (1, 2, 3))]
    parts = {f"q{i:02d}": (SELECT, TEST)[i % 2] for i in range(n_questions)}
    rows, read, places = [], [], []
    for arm in ("base", "student"):
        for edit in edits:
            for q, (qid, part) in enumerate(parts.items()):
                for cid in range(2):
                    own = {"arm": arm, **edit.row, "qid": qid, "cid": cid}
                    scale = edit.scale if edit.draw == 0 else 0.0
                    h, w = hedge(scale, arm), wrong(scale, arm, q)
                    rows.append(
                        own
                        | {"part": part, "text": "t", "finish_reason": "stop", "n_claims": 4, "n_hedged": h}
                        | {"n_judged": 4, "n_wrong": w, "n_wrong_hedged": min(h, w), "n_abstain": 0}
                        | {
                            "answer": -silent(scale),
                            "right": 1 - silent(scale),
                            "n_tokens": 10,
                            "surprise": 5.0,
                        }
                    )
                    far = 0.0 if edit == Edit(ADD, 0.0) else 0.5 * abs(scale) or 0.1
                    read.append(
                        own
                        | {"part": part, "layer": 1, "divergence": far, "n_tokens": 10}
                        | {"n_places": 4, "gained": scale}
                    )
                    places += [
                        own | {"sid": k, "relation": "drug", "wrong": k % 2, "p_hedge": 0.1 * (k % 2)}
                        for k in range(4)
                    ]
    tried = {"layer": 1, "direction": "means", "effect": 1.0, "divergence": 0.05}
    told = {"layer": 1, "direction": "means", "undamaged": True, "without_cut": tried, "candidates": [tried]}
    about = {"parts": parts, "arms": {"base": told, "student": told}}
    return pd.DataFrame(rows), pd.DataFrame(read), pd.DataFrame(places), about


def restored(scale, arm):
    return 2 if arm == "base" else {0.0: 0, 1.0: 2, 2.0: 4}.get(scale, 0)


def worse(scale, arm, q):
    return int(scale) + q % 3


def test_doses_by_hand():
    result = analyse(*written(hedge=restored, wrong=worse), "base", "student")
    assert (result.verdict, result.scale, result.wanted) == ("restored", 1.0, 0.5)
    assert (result.n_questions, result.n_choosing) == (6, 6)
    dose = dose_at(result.to_json()["arms"]["student"], 1.0)
    test = [q for q in range(12) if q % 2]
    plain = np.mean([worse(0.0, "student", q) / 4 for q in test])
    assert dose["shares"]["wrong"]["value"]["estimate"] == pytest.approx(plain + 0.25)
    assert dose["shares"]["wrong"]["change"]["estimate"] == pytest.approx(0.25)
    assert dose["shares"]["hedged"]["value"]["estimate"] == 0.5
    asserted = np.mean([max(worse(1.0, "student", q) - 2, 0) / 4 for q in test])
    assert dose["shares"]["asserted_wrong"]["value"]["estimate"] == pytest.approx(asserted)
    assert dose["divergence"]["estimate"] == pytest.approx(0.05)
    assert dose["surprise"]["estimate"] == pytest.approx(0.5)
    assert dose["landing"]["estimate"] == 1.0  # wrong claims would be hedged first
    assert result.chance["wrong"].p == 0.25  # of four, the direction alone moves anything
    assert (result.chance["wrong"].low, result.chance["wrong"].high) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("hedge", "silent", "verdict", "says"),
    [
        (
            restored,
            lambda scale: 0,
            "restored",
            "of student’s claims are hedged without damage (base: 50.0 %",
        ),
        (
            restored,
            lambda scale: int(scale >= 1),
            "damage",
            "could not be put back into student without damage",
        ),
        (lambda s, arm: 2 * (arm == "base"), lambda scale: 0, "not reached", "is any of its claims hedged"),
    ],
)
def test_the_answer_says_what_happened(hedge, silent, verdict, says):
    found = analyse(*written(hedge=hedge, wrong=worse, silent=silent), "base", "student").to_json()
    assert found["verdict"] == verdict
    assert says in answer(found).replace("\u00a0", " ")
    assert "In base itself" in itself(found)


def test_a_change_that_no_interval_tells_is_not_told():
    def noisy(scale, arm, q):
        return 2 if (q // 2) % 2 == (scale > 0) else 1

    found = analyse(*written(hedge=restored, wrong=noisy), "base", "student").to_json()
    assert "whether wrong steps change is not told" in answer(found)


# --- directions -----------------------------------------------------------------------------------


def test_a_direction_is_kept_and_steers(tmp_path):
    model = tiny_model("qwen3")
    vector = np.random.default_rng(0).normal(size=model.config.hidden_size)
    save_directions(tmp_path, {0: 2 * vector, 1: vector}, {"arm": "base", "site": "resid_post"})
    direction = load_direction(tmp_path, layer=1)
    assert np.array_equal(np.asarray(direction), vector)
    assert direction.card["layers"] == [0, 1]
    ids = torch.tensor([[3, 4, 5]])
    with torch.inference_mode(), steer(model, direction, scale=0.5):
        steered = model(input_ids=ids).logits
    with torch.inference_mode(), add(model, vector, layers=[1], scale=0.5):
        assert torch.equal(steered, model(input_ids=ids).logits)
    with torch.inference_mode():
        assert not torch.equal(steered, model(input_ids=ids).logits)
    with pytest.raises(ReadingError, match=r"has no layer 2; it has \[0, 1\]"):
        load_direction(tmp_path, layer=2)
    with pytest.raises(ReadingError, match="knows its layer"), steer(model, vector):
        pass
    with pytest.raises(ReadingError, match="expected"), steer(model, Direction(vector[:-1], 1)):
        pass


# --- through a study ------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch):
    """The shared study hedges too little for a direction by the rules; so few claims do here."""
    monkeypatch.setattr(bench, "MIN_CLASS", 2)
    monkeypatch.setattr(bench, "MIN_CELL", 1)


def copied(study, folder):
    """A study to write into, whose settings ask for little steering."""
    shutil.copytree(study.path, folder)
    asked = SteeringSettings(questions=12, samples=1, scales=(0.5, 1.0), random=3)
    return Study(
        folder, Settings(**study.settings.model_dump(mode="json") | {"steering": asked.model_dump()})
    )


def made(study, work):
    writing.make(study, task_of(study), partial(checkpoint_folder, study), work, progress=False)
    return {
        file.name: file.read_bytes()
        for file in sorted((study.path / "steering").rglob("*"))
        if file.is_file()
    }


def test_a_study_is_steered_and_a_killed_one_ends_the_same(study, tmp_path, few, monkeypatch):
    whole = copied(study, tmp_path / "whole")
    files = made(whole, tmp_path / "work-whole")
    again, real, calls = copied(study, tmp_path / "again"), passes.moved, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(passes, "moved", killed)
    with pytest.raises(KeyboardInterrupt):
        made(again, tmp_path / "work")
    before_kill = len(calls)
    assert made(again, tmp_path / "work") == files
    # forms and layers of two arms, edits, random; six were kept
    assert len(calls) - before_kill == 2 * 3 * 2 + 2 * 4 + 3 - 6

    result = whole.steering()
    rows = result.to_frame()
    assert set(rows.arm) == {"base", "distilled"}
    assert set(rows.form) == {ADD, ABLATE}
    direction = load_direction(whole.path / "steering" / "directions" / "means", layer=1)
    assert direction.card["arm"] == "base"
    for arm, own in result.arms.items():
        kept = load_direction(whole.path / "steering" / "directions" / own.direction, layer=own.layer)
        assert kept.card["used"][arm] == own.layer
        tried = {(one.direction, one.layer) for one in own.candidates}
        assert tried == {(form, layer) for form in FORMS for layer in (1, 2)}
        assert [one.to_json() for one in own.candidates if one.direction == own.direction] == (
            kept.card["chosen_among"][arm]
        )
    fit = study.claims("base").merge(study.activations("base").frame()[["qid", "arm", "cid", "sid"]])
    parts = bench.parts_in(whole)
    assert direction.card["n_questions"] == sum(part == "fit" for part in parts.values())
    assert len(direction) == study.activations("base").layer("resid_post", 1, "decision").shape[1]
    assert fit.qid.isin(parts).any()


def test_unedited_texts_are_the_studys_own(study, tmp_path, few):
    """The draws are those of the study, so the bare run writes its traces again."""
    steered = copied(study, tmp_path / "study")
    made(steered, tmp_path / "work")
    texts = pd.read_parquet(steered.path / "steering" / "texts.parquet")
    bare = texts[(texts.form == ADD) & (texts.scale == 0) & (texts.draw == 0)]
    for arm in ("base", "distilled"):
        own = study.traces(arm).set_index(["qid", "cid"])
        told = bare[bare.arm == arm].set_index(["qid", "cid"])
        assert len(told)
        assert (own.text[told.index] == told.text).all()
        verdicts = study.verdicts(arm).groupby(["qid", "cid"]).label.agg(lambda x: (x == "erroneous").sum())
        assert (verdicts.reindex(told.index, fill_value=0) == told.n_wrong).all()


def test_a_study_that_hedges_too_little_says_so_and_goes_on(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study.path, folder)
    planned = called("hedge", folder, "--dry-run").stdout
    assert "nothing is put back: base: " in " ".join(planned.split())
    assert "steering" not in planned
    asked = {"slots": 1, "sets": 5, "tokens": 1, "heads": False}
    done = called(
        "run", folder, "--set", f"localisation={json.dumps(asked)}", "--set", "steering={}", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "results" / "steering.json").read_text())
    assert "at least 20 of each" in found["reason"]
    assert "The hedge direction was not added to anything" in (folder / "report.html").read_text()
    rest = called("hedge", folder, "--quiet")
    assert rest.returncode == 0, rest.stderr
    told = " ".join(rest.stdout.split())
    assert "at least 20 of each are needed" in told
    assert "places of hedges (the task's own hedge)" in told
    assert "written with a hedge and without" in told
    with pytest.raises(AnalysisError, match="at least 20 of each"):
        Study.open(folder).steering()


def test_a_task_without_a_checker_is_refused(study):
    with pytest.raises(AnalysisError, match="cannot check claims that are written anew"):
        bench.refuse(study, replace(task_of(study), check=None))


def test_a_direction_without_length_is_not_tried():
    """Nothing can be put back along it, and nothing taken out."""
    rng = np.random.default_rng(0)
    hedged, kinds = np.arange(40) % 2 == 0, np.arange(40) % 4 // 2
    told = rng.normal(size=(40, 6)) + 2.0 * hedged[:, None] * np.eye(6)[0]
    same = np.repeat(rng.normal(size=(20, 6)), 2, axis=0)  # a hedged and an asserted claim each
    assert set(bench.fitted({1: told, 2: same}, hedged, kinds)) == {(form, 1) for form in FORMS}


def test_an_arm_of_another_width_is_refused(study):
    from mechcot.models.checkpoint import load

    checkpoint = load(study.settings.arms["base"], checkpoint_folder(study, "base"), "cpu")
    with pytest.raises(AnalysisError, match="it cannot be added there"):
        bench.refuse_other_width({"student": checkpoint}, {1: np.zeros((3, 7))}, "base")


def test_the_figure_draws_every_strength_of_an_arm():
    found = analyse(*written(hedge=restored, wrong=worse), "base", "student").to_json()
    drawn = {
        trace.name: list(trace.x)
        for trace in plots.steering_doses(found, arm="base").data
        if trace.name and trace.mode != "none"
    }
    assert {"claims hedged", "steps wrong", "no answer"} <= set(drawn)
    assert all(list(x) == [0.0, 1.0, 2.0] for x in drawn.values())


def test_random_directions_stand_beside_their_own_measure():
    """Rows are by name: a result's JSON is sorted, the measures are not."""
    told = analyse(*written(hedge=restored, wrong=worse), "base", "student").to_json()
    found = json.loads(json.dumps(told, sort_keys=True))
    found["chance"]["hedged"] |= {"low": 0.11, "high": 0.12}
    rows = {row[0]: row[2] for row in _random(found).rows}
    assert rows["claims that are hedged"] == "+11.0 to +12.0 points"
    assert rows["wrong steps"] == "+0.0 to +0.0 points"
