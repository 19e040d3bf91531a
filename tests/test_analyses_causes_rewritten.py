"""Swaps by a rewriter behind a server, through a study whose steps' truth is known."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

import test_reading_seams as seam_cases
from judging_cases import KEY, judge_file
from loopback import Answer, Loopback
from mechcot.analyses.causes import analysis, design, items, rewritten, wording
from mechcot.analyses.causes.items import NOT_DRAWN
from mechcot.analyses.causes.page import section
from mechcot.analyses.causes.result import HELD, OWN, WRONGNESS
from mechcot.core import records
from mechcot.core.cause_settings import CauseSettings
from mechcot.core.config import resolve
from mechcot.core.errors import ConfigError
from mechcot.pipeline import causes as stages_of_causes
from mechcot.pipeline.causes import cause_stages, overrides_of
from mechcot.reading.inputs import TraceInput
from mechcot.report.parts import Findings
from mechcot.steps.of_study import questions_by_id, task_of
from mechcot.tasks.tokens import following
from test_analyses_causes import with_links

ASKED = {"traces": 12, "regenerated": 1, "questions": 3, "rewritten": 8}


class Knowing:
    """Rewriter and checker that know the organism's world: objects of claims are swapped for others."""

    def __init__(self, study):
        self.task = task_of(study)
        self.questions = {question.stem: question for question in questions_by_id(study).values()}

    def __call__(self, call):
        return (self.written if call.parts("STEP") else self.checked)(call)

    def written(self, call):
        question, text = self.questions[call.parts("QUESTION")[0]], call.step
        claim = self.task.claim(question, text)
        if claim is None:
            return Answer(json.dumps({"texts": []}))
        right = "claim is right" in call.user
        objects = [o for o in self.task.objects(question, text) if (o in claim.truth) == right]
        objects = sorted({*objects, *(claim.truth if right else ())} - {claim.object})
        drawn = random.Random(text).sample(objects, min(2, len(objects)))
        return Answer(json.dumps({"texts": [text.replace(claim.object, one) for one in drawn]}))

    def checked(self, call):
        question = self.questions[call.parts("QUESTION")[0]]
        said = {
            name: self.task.check(question, call.parts(name.upper())[0]).label for name in ("first", "second")
        }
        told = {"correct": "right", "erroneous": "wrong"}
        reply = {"reason": "looked up", "same_topic": True, "one_change": True, "same_claim": False}
        return Answer(
            json.dumps(reply | {name: told.get(label, "undecided") for name, label in said.items()})
        )


@pytest.fixture(scope="module")
def done(study, tmp_path_factory):
    """A study whose two arms' steps were rewritten and swapped; the price told before; the calls."""
    root = tmp_path_factory.mktemp("rewritten")
    task = replace(task_of(study), objects=None, core=frozenset())
    with pytest.MonkeyPatch.context() as patch, Loopback(Knowing(study)) as server:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("JUDGE_KEY", KEY)
        for module in (analysis, rewritten, stages_of_causes):
            patch.setattr(module, "task_of", lambda study: task)
        file = judge_file(root, server.url, price_in=1.0, price_out=1.0)
        own = with_links(study, root / "study", causes=CauseSettings(**ASKED, rewriter=str(file)))
        stages = {stage.name: stage for stage in cause_stages(own, False)}
        before = stages["causes-rewritten"].plan()
        assert server.calls == []
        for name, stage in stages.items():
            stage.run(root / name)
        after = stages["causes-rewritten"].plan()
        yield own, list(stages.values()), before, after, list(server.calls), own.causes()


def tables(study, arm):
    swaps = records.read_table(study.path / "causes" / arm / "swaps.parquet", design.SWAPPED)
    return swaps, records.read_table(study.path / "rewritten" / f"{arm}.parquet", design.REWRITTEN)


def test_the_price_is_told_before_and_no_reply_is_paid_twice(done):
    _, stages, before, after, calls, _ = done
    assert [stage.name for stage in stages] == ["causes-rewritten", "causes-of-base", "causes-of-distilled"]
    assert before.calls >= len(calls) > 100
    assert before.money > 0
    assert "checks are counted on the steps themselves" in before.note
    assert (after.calls, after.answered) == (0, len(calls))


def test_swaps_are_rewritings_that_the_checker_let_pass(done):
    own, *_ = done
    seen = Counter()
    for arm in ("base", "distilled"):
        swaps, rows = tables(own, arm)
        kept = rows[rows.refused == ""].set_index(["qid", "cid", "sid", "text"]).wanted
        for row in swaps.itertuples():
            wanted = kept.loc[[(row.qid, row.cid, row.sid, row.object)]].iloc[0]
            assert (wanted == "correct") == (row.variant in (design.REPAIR, design.OTHER_RIGHT))
            seen[row.variant] += 1
        most = rows.groupby(["kind", "label"]).apply(
            lambda own: len(own[["qid", "cid", "sid"]].drop_duplicates())
        )
        assert most.max() <= ASKED["rewritten"]
    assert seen[design.REPAIR] > 5 < seen[design.BREAK]
    assert seen[design.LATERAL] > 5


def test_what_is_put_in_is_as_true_as_it_should_be(done, study):
    own, *_ = done
    task, questions = task_of(study), questions_by_id(study)
    for arm in ("base", "distilled"):
        for row in tables(own, arm)[0].itertuples():
            label = task.check(questions[row.qid], row.object).label
            assert label == ("correct" if row.variant in (design.REPAIR, design.OTHER_RIGHT) else "erroneous")


def test_the_estimands_are_those_of_claims(done):
    own, *_, result = done
    assert result.swapped == "steps written anew by a server"
    row = wording.effect(result.to_json(), HELD, OWN, WRONGNESS, "all steps")
    swaps = pd.concat([tables(own, arm)[0] for arm in ("base", "distilled")])
    moved = swaps.assign(moved=swaps.log_odds - swaps.log_odds_said)
    wide = moved.pivot(index=["arm", "qid", "cid", "sid"], columns="variant", values="moved")
    both = (wide[design.REPAIR] - wide[design.LATERAL]).dropna()
    for role, arm in (("before", "base"), ("after", "distilled")):
        assert row["n_steps"][role] == len(both[both.index.get_level_values("arm") == arm])
    assert row["after"]["estimate"] == pytest.approx(both.loc["distilled"].mean())
    assert "repaired by a server" in wording.wrongness(result.to_json())
    page = section(Findings(own.settings, {"causes": result.to_json()}))
    assert "a checker that was not told what was wanted" in page.limits


def test_what_is_not_used_is_counted_by_reason(done):
    own, *_, result = done
    rows = tables(own, "distilled")[1]
    left = result.left_out.after
    for why, n in rows[rows.refused != ""].refused.value_counts().items():
        assert left[f"rewritings: {why}"] == n
    assert left[NOT_DRAWN] > 0
    about = json.loads((own.path / "instruments" / "rewriter.json").read_text())
    assert sum(about["rewritings"].values()) == sum(len(tables(own, arm)[1]) for arm in ("base", "distilled"))
    assert KEY not in json.dumps(about)


@pytest.mark.parametrize("kind", seam_cases.KINDS)
def test_a_step_is_swapped_in_the_text_whatever_tokens_it_shares_with_its_neighbours(kind):
    tokenizer = seam_cases.tokenizer_of(kind)
    text = "It is so.\n\nThe fever comes from the lung.\n\nThe acid comes from the heart. So is the base."
    row, steps = seam_cases.trace_of(tokenizer, seam_cases.token_list(tokenizer, text))
    spans = tuple((s.sid, s.tok_start, s.tok_end) for s in steps)
    trace = TraceInput("q0", "base", 0, tuple(row.token_ids), spans)
    before = items.Before(seam_cases.QUESTION, steps, trace, len(row.token_ids))
    written = {("q0", 0, s.sid): {"The base comes from zinc.": "correct"} for s in steps}
    labels, lost = dict.fromkeys(written, "erroneous"), Counter()
    others = partial(items._as_rewritten, written)
    tokens = partial(following, tokenizer)
    found = list(items._steps(labels, others, tokens, tokenizer, lost, before))
    assert [item.start > 0 for item in found] == [False, True, True, True]
    assert any(step.straddles for step in steps) == (kind != "metaspace")
    for item, step in list(zip(found, steps, strict=True))[1:]:
        (_, own), (other, new) = item.objects
        ids = row.token_ids
        assert own == tuple(ids[item.start : item.stop])
        swapped = [*ids[: item.start], *new, *ids[item.stop :]]
        assert seam_cases.told(tokenizer, swapped) == text.replace(step.text, other)


def test_what_is_asked_for_and_refused(study):
    settings = study.settings
    assert overrides_of(settings, "swaps", thorough=False, rewriter="kimi") == ("causes.rewriter=kimi",)
    thorough = overrides_of(settings, "swaps", thorough=True, rewriter="kimi")
    assert thorough[-2:] == ("causes.rewritten=200", "causes.rewriter=kimi")
    assert "causes.regenerated=200" in thorough
    assert not [one for one in overrides_of(settings, "swaps", thorough=True) if "rewrit" in one]
    with pytest.raises(ConfigError, match="the organism's claims are swapped by their objects"):
        resolve(preset="organism-small", overrides=("causes.rewriter=kimi",))
    plain = CauseSettings()
    assert plain.basis() == {"traces": 600, "regenerated": 50, "questions": 60, "draws": 8}
    assert plain.model_copy(update={"rewriter": "kimi", "rewritten": 9}).basis() == plain.basis()
