"""One greedy trace a question and arm: apart from the samples, judged like them, and beside the headline."""

import shutil

import pytest
import torch

from mechcot.analyses.greedy.analysis import NUMBERS, greedy_of, summarised
from mechcot.analyses.greedy.page import greedy as page
from mechcot.analyses.headline import _with_greedy, rows
from mechcot.models.checkpoint import load
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.greedy import greedy_stages, plan_decoding
from mechcot.report.parts import Findings
from mechcot.steps.of_study import checkpoint_folder, questions_by_id, task_of
from mechcot.study.folder import Study


@pytest.fixture(scope="module")
def greedy(study, tmp_path_factory):
    """A copy of the shared study with greedy traces; nothing else of it is made anew."""
    path = tmp_path_factory.mktemp("greedy") / "study"
    shutil.copytree(study.path, path, ignore=shutil.ignore_patterns("work", "readings"))
    sampling = study.settings.sampling.model_copy(update={"greedy": True})
    found = Study(path, study.settings.model_copy(update={"sampling": sampling}))
    for stage in greedy_stages(found, False):
        stage.run(path / "work" / stage.name)
    return found


@pytest.fixture(scope="module")
def result(greedy):
    return greedy_of(greedy)


def test_a_greedy_trace_is_the_likeliest_token_after_token(greedy):
    base = load(greedy.settings.arms["base"], checkpoint_folder(greedy, "base"), "cpu")
    for trace in list(greedy.greedy_table("base", "traces").itertuples())[:3]:
        ids, start = [*trace.prompt_ids, *trace.token_ids], len(trace.prompt_ids)
        with torch.inference_mode():
            logits = base.model(torch.tensor([ids])).logits[0]
        assert logits[start - 1 : -1].argmax(-1).tolist() == list(trace.token_ids)


def test_it_stands_apart_and_is_judged_as_the_samples_are(study, greedy):
    samples = study.settings.sampling.samples
    for arm in study.settings.arms:
        traces, steps = (greedy.greedy_table(arm, name) for name in ("traces", "steps"))
        assert set(traces.cid) == {samples}
        assert list(traces.qid) == list(study.questions().qid)
        assert (study.traces(arm).cid < samples).all()  # none of them among the votes
        verdicts = greedy.greedy_table(arm, "verdicts")
        assert len(verdicts) == len(steps)
        check, asked = task_of(greedy).check, questions_by_id(greedy)
        for step, verdict in zip(steps.itertuples(), verdicts.itertuples(), strict=True):
            if step.complete:
                assert verdict.label == check(asked[step.qid], step.text).label


def test_the_numbers_are_those_of_the_greedy_tables(study, greedy, result):
    headline = result.contrasts[0]
    assert [one.name for one in headline.numbers] == list(NUMBERS)
    numbers = {one.name: one for one in headline.numbers}
    gold = study.questions("clinical").set_index("qid").gold
    for role, arm in zip(("before", "after"), headline.arms, strict=True):
        traces = greedy.greedy_table(arm, "traces")
        traces = traces[traces.qid.isin(gold.index)]
        right = (traces.answer.to_numpy() == gold.loc[traces.qid].to_numpy()).mean()
        assert getattr(numbers["right answers"].greedy, role).estimate == pytest.approx(right)
        labels = greedy.greedy_table(arm, "verdicts")
        labels = labels[labels.qid.isin(gold.index)].label
        wrong = (labels == "erroneous").sum() / labels.isin(["correct", "erroneous"]).sum()
        assert getattr(numbers["wrong steps"].greedy, role).estimate == pytest.approx(wrong)
    own = numbers["wrong steps"]
    assert own.sampled.difference.estimate == pytest.approx(study.audit().delta.estimate)
    assert own.noise_in_change.estimate == pytest.approx(
        own.sampled.difference.estimate - own.greedy.difference.estimate
    )
    assert own.noise_in_change.estimate == pytest.approx(own.noise.after.estimate - own.noise.before.estimate)


def test_controls_have_theirs_and_one_of_given_traces_is_named(greedy, result):
    assert [one.contrast for one in result.contrasts] == ["headline", "terse", "chain"]
    arms = greedy.settings.arms | {
        "terse": greedy.settings.arms["terse"].model_copy(update={"traces": "terse"})
    }
    given = Study(greedy.path, greedy.settings.model_copy(update={"arms": arms}))
    assert greedy_of(given).left_out == {"terse": "terse"}


def test_the_headline_shows_each_number_with_and_without_sampling(study, greedy, result):
    told = summarised(result.to_json(), {"before": "base", "after": "distilled"})
    summary = study.summary() | {"greedy": told}
    plain, both = rows(study.summary()), rows(summary)
    assert [row for row in both if row.what != "  the same without sampling"] == plain
    assert len(both) - len(plain) == 6 + 2 * len(study.settings.controls)
    assert _with_greedy(plain, {}, ("base", "distilled")) == plain
    found = Findings(greedy.settings, {"greedy": result.to_json()})
    part = page(found)
    assert "Without the noise of sampling" in part.sentence
    assert part.figure is not None
    assert len(part.tables[0].rows) == 2 * len(NUMBERS) * 3


def test_it_may_be_turned_on_in_a_finished_study_and_is_priced_before(study):
    plan = pipeline.plan(study.path, overrides=("sampling.greedy=true",))
    states = {row.what: row.state for row in plan.rows}
    new = {name for name, state in states.items() if state == "to do"}
    assert new >= {"greedy-base", "greedy-distilled", "greedy-terse", "greedy-verdicts", "greedy"}
    assert not {name for name in new if name.startswith(("sample-", "judge", "read-", "facts"))}
    row = plan_decoding(study, "base")
    assert row.n == len(study.questions())
    assert row.tokens_out == row.n * study.settings.sampling.max_new_tokens
    assert row.tokens_in == study.traces("base").drop_duplicates("qid").prompt_ids.map(len).sum()
