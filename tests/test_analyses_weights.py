"""Where in the weights: planted places, no place by chance, the arithmetic by hand, and through a study."""

from __future__ import annotations

import json
import runpy
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from conftest import save_checkpoint, tiny_model
from mechcot import Study
from mechcot.analyses import registry
from mechcot.analyses.weights import hybrids
from mechcot.analyses.weights.analysis import (
    Measured,
    effects_of,
    null_of,
    orders_of_units,
    places_of,
    shapley_of,
)
from mechcot.analyses.weights.design import OUTCOMES, groups_of, orders_of, roles_of
from mechcot.analyses.weights.drift import cka
from mechcot.analyses.weights.outcomes import asked_of, said
from mechcot.analyses.weights.prefixes import prefixes_of
from mechcot.analyses.weights.wording import placed, same_place, sentence
from mechcot.cli import app
from mechcot.core import files, records
from mechcot.core.errors import AnalysisError, ModelError
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.training_settings import LoraSettings, TrainSettings
from mechcot.core.weight_settings import WeightSettings
from mechcot.distill.masks import supervised
from mechcot.distill.trainer import train
from mechcot.distill.training import Training
from mechcot.models.checkpoint import load_tokenizer
from mechcot.pipeline import run as pipeline
from mechcot.steps.of_study import checkpoint_folder, task_of

TRIALS = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "weights_trials.py"))
UNITS = ("embedding", "attention 1", "MLP 1", "norms")
ASKED = WeightSettings(questions=12, draws=3)


# --- places ---------------------------------------------------------------------------------------


def test_the_one_unit_that_learnt_is_the_place_of_the_answer():
    places, unit = TRIALS["one_unit"](100, others=True)
    answers = {(p.author, p.background): p.unit for p in places if p.outcome == "answer"}
    assert set(answers.values()) == {unit}, answers


def test_random_changes_everywhere_are_seldom_given_a_place():
    """Ten at most of a hundred pairs: docs/weights-trials.json; here two."""
    given = [any(p.unit for p in TRIALS["random_everywhere"](seed)[0]) for seed in (101, 102)]
    assert sum(given) == 0


def test_the_trials_ask_what_a_study_asks():
    model, options = TRIALS["base_of"](7)
    told = {"before": options, "after": TRIALS["RIGHT"]}
    prefixes = {
        name: [TRIALS["prefix"](i, o, name) for i, o in enumerate(said)] for name, said in told.items()
    }
    with torch.no_grad():
        found = TRIALS["asked"](model, options)
    for author, one in asked_of(model, prefixes, 4096).items():
        ours = np.array(found[author], dtype=float)[:, :4]
        assert np.allclose(said(model, one)[0][:, :4], ours, atol=1e-4)


# --- arithmetic -------------------------------------------------------------------------------------


def measured_of(value, *, orders=0, n=12):
    """Outcomes of every hybrid from a function of its recipe and the question; another author has twice
    that."""
    roles = roles_of(UNITS, WeightSettings(draws=4, orders=orders), 0)
    rows = [
        {
            "hybrid": role.hybrid,
            "author": author,
            "qid": f"q{q}",
            "outcome": "answer",
            "value": times * value(role.recipe, q),
        }
        for role in {role.hybrid: role for role in roles}.values()
        for times, author in ((1, "a"), (2, "b"))
        for q in range(n)
    ]
    return Measured.of(pd.DataFrame(hybrids.role_rows(roles)), pd.DataFrame(rows))


def gains(recipe, q):
    """Norms bring 4, embedding 1; together 2 more. A turned change brings a little of its draw."""
    took = {name for name, (start, *_) in recipe.items() if start == "after"}
    noise = sum(0.1 * draw * (-1) ** draw for *_, draw in recipe.values() if draw)
    if len(set(recipe.values())) == 1 and len(recipe) == 4 and not took:
        return 7.0 * next(iter(recipe.values()))[1] + 0.01 * q
    return (
        4.0 * ("norms" in took)
        + ("embedding" in took)
        + 2.0 * ({"norms", "embedding"} <= took)
        + noise
        + 0.01 * q
    )


def wavering(recipe, q):
    """The same with a spread over questions, so that there are intervals."""
    return gains(recipe, q) * (1 + 0.05 * ((7 * q) % 12 - 5.5) / 5.5)


def test_effects_are_differences_of_means_in_both_backgrounds():
    measured = measured_of(wavering)
    found = {(e.unit, e.author, e.background): e for e in effects_of(measured, UNITS)}
    scale = np.mean([1 + 0.05 * ((7 * q) % 12 - 5.5) / 5.5 for q in range(12)])
    for author, times in (("a", 1), ("b", 2)):
        alone, without = found["norms", author, "before"], found["norms", author, "after"]
        assert alone.effect.estimate == pytest.approx(times * 4 * scale)
        assert without.effect.estimate == pytest.approx(times * 6 * scale)
        assert alone.share == pytest.approx(4 / 7)
        assert without.share == pytest.approx(6 / 7)  # shares of units need not add up to 1
    assert found["MLP 1", "a", "before"].effect.estimate == 0.0
    drawn = np.array([-0.1, 0.2, -0.3, 0.4]) * scale
    one = found["norms", "a", "before"]
    assert (one.null_low, one.null_high) == pytest.approx(null_of(drawn, 4))
    assert one.outside
    assert not found["attention 1", "a", "before"].outside


def test_a_place_is_ahead_of_every_other_unit_and_beyond_its_null():
    measured = measured_of(wavering)
    places = places_of(measured, effects_of(measured, UNITS))
    assert {(p.author, p.background, p.unit) for p in places} == {
        (author, background, "norms") for author in "ab" for background in ("before", "after")
    }
    scale = np.mean([1 + 0.05 * ((7 * q) % 12 - 5.5) / 5.5 for q in range(12)])
    assert places[0].ahead.estimate == pytest.approx(3 * scale)


def test_a_leader_within_its_null_is_no_place():
    loud = measured_of(
        lambda recipe, q: wavering(recipe, q) + 60 * sum(d * (-1) ** d for *_, d in recipe.values())
    )
    places = places_of(loud, effects_of(loud, UNITS))
    assert {p.unit for p in places} == {""}
    assert {p.why for p in places} == {"the most, norms, does no more than random changes of its size"}


def test_two_units_that_do_the_same_are_no_place():
    def twins(recipe, q):
        took = {name for name, (start, *_) in recipe.items() if start == "after"}
        spread = 1 + 0.05 * ((7 * q) % 12 - 5.5) / 5.5
        other = 1 + 0.05 * ((5 * q) % 12 - 5.5) / 5.5
        noise = sum(0.01 * draw * (-1) ** draw for *_, draw in recipe.values())
        return 3.0 * ("norms" in took) * spread + 3.0 * ("embedding" in took) * other + noise

    measured = measured_of(twins)
    places = places_of(measured, effects_of(measured, UNITS))
    assert {p.unit for p in places} == {""}
    assert all("is not ahead of every other unit" in p.why for p in places)


def test_no_change_has_no_place():
    measured = measured_of(lambda recipe, q: float((7 * q) % 12))
    places = places_of(measured, effects_of(measured, UNITS))
    assert {(p.unit, p.leader, p.why) for p in places} == {("", "", "the whole change is not apart from 0")}


def test_shapley_values_are_means_over_all_orders_and_add_up():
    measured = measured_of(wavering)
    groups = groups_of(UNITS)
    assert list(groups) == ["embedding", "lower attention", "lower MLP", "norms"]
    found = {v.group: v.value.estimate for v in shapley_of(measured, groups) if v.author == "a"}
    scale = np.mean([1 + 0.05 * ((7 * q) % 12 - 5.5) / 5.5 for q in range(12)])
    wanted = dict.fromkeys(groups, 0.0)
    for order in permutations(groups):
        done: set[str] = set()
        for name in order:
            worth = [4.0 * ("norms" in s) + ("embedding" in s) + 2.0 * ({"norms", "embedding"} <= s)
                     for s in (done, done | {name})]  # fmt: skip
            wanted[name] += (worth[1] - worth[0]) / 24
            done.add(name)
    assert found == pytest.approx({name: value * scale for name, value in wanted.items()})
    assert sum(found.values()) == pytest.approx(7 * scale)


def test_sampled_orders_add_up_too_and_say_their_error():
    orders = list(orders_of(UNITS, 6, 0))
    assert orders[1] == orders[0][::-1]
    measured = measured_of(wavering, orders=6)
    found = [v for v in orders_of_units(measured, UNITS, orders) if v.author == "a"]
    scale = np.mean([1 + 0.05 * ((7 * q) % 12 - 5.5) / 5.5 for q in range(12)])
    assert sum(v.value.estimate for v in found) == pytest.approx(7 * scale)
    by = {v.group: v for v in found}
    assert by["norms"].value.estimate == pytest.approx(5 * scale)  # an order and its reverse: 4 and 6
    assert by["norms"].order_error == pytest.approx(0, abs=1e-9)
    assert by["MLP 1"].value.estimate == pytest.approx(0)


def test_the_null_covers_one_more_draw_as_often_as_it_says():
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, 9))
    inside = [low < one < high for *draws, one in drawn for low, high in [null_of(np.array(draws), 1)]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
    assert null_of(np.array([0.2, 0.2, 0.2]), 1) == pytest.approx((0.2, 0.2))
    assert null_of(np.array([0.2, 0.3, np.nan]), 1) is None


def test_cka_by_hand():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 7))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert cka(x @ x.T, 9 * (x @ turn) @ (x @ turn).T) == pytest.approx(1)
    a, b = x - x.mean(0), y - y.mean(0)
    wanted = np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert cka(x @ x.T, y @ y.T) == pytest.approx(wanted)


def test_every_set_of_groups_is_made_once_and_equal_models_are_one():
    units = (
        "embedding",
        *(f"{kind} {i}" for i in range(1, 5) for kind in ("attention", "MLP")),
        "norms",
        "unembedding",
    )
    roles = roles_of(units, WeightSettings(), 0)
    assert sum(role.role == "groups" for role in roles) == 2**6
    alone = next(role for role in roles if (role.role, role.unit, role.draw) == ("in", "norms", 0))
    group = next(role for role in roles if (role.role, role.unit) == ("groups", "norms"))
    assert alone.hybrid == group.hybrid
    assert {name for part in groups_of(units).values() for name in part} == {*units}


# --- a study ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def placed_study(study, tmp_path_factory):
    """A copy of the shared study with the search made by the command."""
    path = tmp_path_factory.mktemp("weights") / "study"
    shutil.copytree(study.path, path)
    before = load_manifest(path)["stages"]
    plan = CliRunner().invoke(app, ["weights", str(path), "--dry-run", "--json"])
    assert plan.exit_code == 0, plan.output
    assert load_manifest(path)["stages"] == before
    pipeline.run(path, overrides=("weights.questions=12", "weights.draws=3"), progress=False)
    done = CliRunner().invoke(app, ["weights", str(path), "--quiet"])
    assert done.exit_code == 0, (done.output, done.exception)
    again = json.loads(CliRunner().invoke(app, ["weights", str(path), "--dry-run", "--json"]).stdout)
    assert [(row["state"], row["tokens_in"]) for row in again["rows"]] == [("cached", 0)]
    return Study.open(path), before, json.loads(plan.stdout), done.stdout


def test_the_command_adds_a_stage_a_result_and_a_section(placed_study):
    opened, before, planned, told = placed_study
    stages = load_manifest(opened.path)["stages"]
    assert set(stages) - set(before) == {"weights-hybrids", "weights"}
    again = {name for name in before if before[name] != stages[name]}
    assert again == {"report"}
    assert verify(opened.path) == []
    result = opened.weights()
    assert result.to_json() == opened.result("weights")
    assert planned["rows"][0]["n"] > result.n_models > 60  # the command's default has more draws
    assert "Where in the weights" in opened.report.read_text()
    assert "taken out" in told
    assert max(len(line) for line in told.splitlines() if "report.html" not in line) <= 80
    assert opened.summary()["weights"]["n_models"] == result.n_models
    assert len(result.to_frame()) == len(result.effects)
    assert result.figure().to_dict()["layout"]["title"]["text"]


def asked_at(opened, author, qid):
    """The sample of a question that is asked, and how many of its steps stand before the answer is stated."""
    traces, steps = opened.traces(author), opened.steps(author)
    kept = traces[(traces.qid == qid) & (traces.answer >= 0) & (traces.finish_reason == "stop")]
    cid = kept.cid.min()
    stated = steps[(steps.qid == qid) & (steps.cid == cid)].sort_values("sid").states_answer.to_numpy()
    return cid, int(stated.argmax()) if stated.any() else len(stated)


def test_the_last_layer_s_answers_are_as_far_apart_as_the_models_own(placed_study):
    opened, *_ = placed_study
    lens = {int(one.place): one for one in opened.weights().drift if one.what == "lens"}
    assert list(lens) == list(range(opened.settings.organism.layers + 1))
    last = lens[max(lens)]
    assert last.value == pytest.approx(last.null, abs=1e-6)
    assert last.low < last.value < last.high
    values = records.read_table(opened.path / "weights" / "outcomes.parquet")
    apart = []
    for author in ("base", "distilled"):
        for qid in values.qid.unique():
            cid, k = asked_at(opened, author, qid)
            own = [opened.forced(author, reader) for reader in ("base", "distilled")]
            own = [one[(one.qid == qid) & (one.cid == cid) & (one.k == k)].p.iloc[0] for one in own]
            apart.append(np.abs(own[0] - own[1]).sum() / 2)
    assert last.null == pytest.approx(np.mean(apart), abs=1e-5)
    assert all(0 <= one.random <= 1 for one in lens.values())


def test_the_units_of_a_lora_student_are_its_adapters(study, tmp_path):
    base, settings = (
        checkpoint_folder(study, "base"),
        TrainSettings(
            batch_size=8,
            epochs=1,
            learning_rate=1e-2,
            lora=LoraSettings(rank=2, targets=("q_proj", "down_proj")),
            save_every=1000,
        ),
    )
    taught = records.read_table(study.path / "examples" / "rich.parquet").head(16)
    data = supervised(taught, load_tokenizer(base), settings, context=256)
    train(Training(base, data, settings, 0), tmp_path / "student", tmp_path / "work", progress=False)
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("questions.parquet", "arms", "manifest.json"):
        (folder / name).symlink_to(study.path / name)
    own = Study(folder, study.settings.model_copy(update={"weights": WeightSettings(questions=6, draws=3)}))
    folders = {"base": base, "distilled": tmp_path / "student"}
    hybrids.make(own, task_of(own), folders.__getitem__, tmp_path / "hybrids", progress=False)
    about = json.loads((folder / "weights" / "about.json").read_text())
    layers = range(1, study.settings.organism.layers + 1)
    adapted = [f"{kind} {layer}" for layer in layers for kind in ("attention", "MLP")]
    assert about["changed"] == adapted
    assert set(about["units"]) == {*adapted, "embedding", "norms"}
    drift = records.read_table(folder / "weights" / "drift.parquet").set_index(["what", "place"]).value
    assert drift["relative_change", "embedding"] == drift["relative_change", "norms"] == 0
    assert all(drift["relative_change", unit] > 0 for unit in adapted)
    assert all(drift["effective_rank", unit] <= 2.001 for unit in adapted)  # the adapter's rank
    asked = Measured.of(
        *(records.read_table(folder / "weights" / f"{n}.parquet") for n in ("hybrids", "outcomes"))
    )
    effects = effects_of(asked, adapted)
    assert {one.unit for one in effects} == set(adapted)
    assert any(one.effect.estimate for one in effects)


def test_the_parents_say_what_the_readings_say(placed_study):
    """The same numbers as the study's own readings have at these questions and traces."""
    opened, *_ = placed_study
    values = records.read_table(opened.path / "weights" / "outcomes.parquet")
    roles = records.read_table(opened.path / "weights" / "hybrids.parquet")
    parents = roles[roles.role == "parent"].set_index("unit").hybrid
    assert set(values.outcome) <= set(OUTCOMES)
    questions = opened.questions().set_index("qid")
    compared = 0
    for reader, which in (("base", "before"), ("distilled", "after")):
        for author in ("base", "distilled"):
            own = values[(values.hybrid == parents[which]) & (values.author == author)]
            wide = own.pivot_table(index="qid", columns="outcome", values="value")
            forced, truth = opened.forced(author, reader), opened.truth(author, reader)
            forced, traces = forced[forced.lead_in == 0], opened.traces(author)
            for qid, row in wide.iterrows():
                cid, last = asked_at(opened, author, qid)
                trace = traces[(traces.qid == qid) & (traces.cid == cid)].iloc[0]
                at = forced[(forced.qid == qid) & (forced.cid == cid)].set_index("k")
                logp, gold = np.array(at.logp[last], dtype=float), questions.gold[qid]
                assert row.answer == pytest.approx(logp[gold] - np.delete(logp, gold).max(), abs=1e-4)
                assert row.agreement == pytest.approx(at.p[0][trace.answer], abs=1e-5)
                known = truth[(truth.qid == qid) & (truth.cid == cid)]
                if len(known):
                    assert row.claims == pytest.approx(1 - known.p_truth.mean(), abs=1e-5)
                    assert row.first_choice == pytest.approx((known.rank_truth > 1).mean())
                own_kl = "kl_before" if which == "before" else "kl_after"
                assert row[own_kl] == pytest.approx(0, abs=1e-6)
                compared += 1
    assert compared == 4 * 12


def test_hedges_are_asked_where_a_claim_could_be_hedged(placed_study):
    opened, *_ = placed_study
    tokenizer = load_tokenizer(checkpoint_folder(opened, "base"))
    found, _ = prefixes_of(opened, ("base",), task_of(opened), tokenizer)
    perhaps = tokenizer("perhaps", add_special_tokens=False)["input_ids"]
    checked = 0
    for prefix in found["base"]:
        claims, hedges = prefix.trace.targets[: prefix.claims], prefix.trace.targets[prefix.claims :]
        assert all(list(target.true_ids) == perhaps for target in hedges)
        assert {t.sid for t in claims} <= {t.sid for t in hedges}
        checked += sum(target.said_id == perhaps[0] for target in hedges)
    assert checked  # the base hedges


def test_a_killed_search_goes_on_with_the_same_bytes(placed_study, tmp_path, monkeypatch):
    opened, *_ = placed_study
    path = tmp_path / "study"
    shutil.copytree(opened.path, path)
    shutil.rmtree(path / "weights")
    asked, ask = [], hybrids.ask

    def dies(bench, task):
        if len(asked) == 20:
            raise KeyboardInterrupt
        asked.append(task.key)
        return ask(bench, task)

    monkeypatch.setattr(hybrids, "ask", dies)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(path, progress=False)
    monkeypatch.setattr(hybrids, "ask", lambda bench, task: asked.append(task.key) or ask(bench, task))
    pipeline.run(path, progress=False)
    assert len(asked) == len(set(asked)) == opened.weights().n_models
    for name in ("hybrids.parquet", "outcomes.parquet", "drift.parquet", "about.json"):
        assert files.digest(path / "weights" / name) == files.digest(opened.path / "weights" / name), name


def test_a_study_that_does_not_ask_has_none_of_it(study):
    assert "weights" not in registry.results(study.settings)
    assert "weights" not in study.summary()
    assert "Where in the weights" not in study.report.read_text()
    with pytest.raises(AnalysisError, match="mechcot weights"):
        study.weights()


def test_sentences_say_what_the_places_are(placed_study):
    opened, *_ = placed_study
    result = opened.result("weights")
    told = sentence(result, "answer")
    assert "at base’s text" in told
    assert "at distilled’s text" in told
    for place in result["places"]:
        if place["unit"]:
            word = {"before": "sufficient for", "after": "necessary for"}[place["background"]]
            assert f"{place['unit']} is {word}" in sentence(result, place["outcome"])
    nowhere = {**result, "places": [{**p, "unit": "", "why": "x"} for p in result["places"]]}
    assert placed(nowhere) == "No change has a place in the weights"
    assert same_place(nowhere).startswith("Fewer than two")
    everywhere = {**result, "places": [{**p, "unit": "MLP 1"} for p in result["places"]]}
    assert "have the same one: MLP 1" in same_place(everywhere)


def test_unlike_checkpoints_are_refused_before_anything_is_written(study, tmp_path):
    other = save_checkpoint(tmp_path / "other")
    with pytest.raises(ModelError, match="base and student have other tokenizers"):
        hybrids.refuse_other_words(
            load_tokenizer(checkpoint_folder(study, "base")), load_tokenizer(other), ("base", "student")
        )
    path = tmp_path / "study"
    shutil.copytree(study.path, path)
    tiny_model().save_pretrained(path / "models" / "distilled")
    stood = (path / "study.yaml").read_text()
    done = CliRunner().invoke(app, ["weights", str(path)])
    assert isinstance(done.exception, ModelError)
    assert "ties its unembedding" in str(done.exception)
    assert (path / "study.yaml").read_text() == stood


def test_a_model_with_numbers_that_are_not_finite_is_left_out_and_not_raised():
    """A random change can break a model; the others' numbers stay."""
    before, options = TRIALS["base_of"](1)
    asked = TRIALS["prefix"](0, options[0], "a")
    plan = asked_of(before, {"a": [asked]}, 4096)["a"]
    assert np.isfinite(said(before, plan)[0][0, :4]).all()
    with torch.no_grad():
        before.model.norm.weight.fill_(float("nan"))
    assert np.isnan(said(before, plan)[0]).all()
