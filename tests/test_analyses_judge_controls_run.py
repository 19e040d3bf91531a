"""The judge controls from the study's steps to its files: real calls to judges with planted faults."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from judging_cases import KEY, judge_file
from loopback import Answer, Loopback, verdict
from mechcot import Study
from mechcot.analyses.judge_controls import Wanted, plan_judge_controls, run_judge_controls, study_report
from mechcot.analyses.judge_controls.controls.factors import FACTORS
from mechcot.analyses.judge_controls.registry import CONTROLS
from mechcot.analyses.judge_controls.sample import sample_of
from mechcot.cli.commands import app
from mechcot.core import files, records
from mechcot.core.errors import ConfigError, JudgeError, StudyError, UsageError
from mechcot.core.manifest import load_manifest, verify
from mechcot.pipeline.further import judge_study
from mechcot.steps import SEGMENTERS, segment
from mechcot.steps.alter import MASK
from mechcot.steps.of_study import questions_by_id, task_of
from rewritten import as_written
from written_study import HEDGED, own_decoys, written_study

ARMS = ("base", "distilled")
NAMES = {control.name for control in CONTROLS} - {"segment:sentences"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return written_study(tmp_path_factory.mktemp("written") / "study")


@pytest.fixture
def study(written, tmp_path):
    shutil.copytree(written.path, tmp_path / "study")
    return Study.open(tmp_path / "study")


# --- judges behind a server ---------------------------------------------------------------------


def form(call):
    return call.body["response_format"]["json_schema"]["name"]


def parts(call):
    """Texts between the marks of a message, by name."""
    found = {}
    for name, _, text in re.findall(
        r"^\[\[(\w+) (\w+)\]\]\n(.*?)\n\[\[END \1 \2\]\]$", call.user, re.M | re.S
    ):
        found.setdefault(name, []).append(text)
    return found


class Truthful:
    """Judges by the world's truth; a rule may bend its label."""

    def __init__(self, study, rule=lambda label, call, shown: label):
        self.task, self.rule = task_of(study), rule
        self.by_stem = {question.stem: question for question in questions_by_id(study).values()}

    def __call__(self, call):
        shown = parts(call)
        if "QUESTION" not in shown:
            return verdict("abstain", "which case?")
        [text], question = shown["STEP"], self.by_stem[shown["QUESTION"][0]]
        label = self.rule(self.task.check(question, text).label, call, shown)
        allowed = call.body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]
        return verdict(label if label in allowed else "abstain", f"of {text}")


def run(study, server, *only, questions=3, **changes):
    file = judge_file(study.path.parent, server.url, **changes)
    wanted = Wanted(judge_file=file, only=only, questions=questions)
    return run_judge_controls(study.path, wanted, progress=False)


def items_of(done, control, variant=None):
    table = records.read_table(done.folder / "items.parquet", records.JUDGE_CONTROLS)
    own = table[table.control == control]
    return own if variant is None else own[own.variant == variant]


def rate(interval):
    return pytest.approx(interval.estimate)


def test_a_judge_that_calls_hedged_text_wrong_is_found_out_by_hedges_and_by_decoys(study):
    def strict(label, call, shown):
        return "erroneous" if "perhaps" in shown["STEP"][0] else label

    with Loopback(Truthful(study, strict)) as server:
        done = run(study, server, "hedge-flip", "decoy", questions=7)
    hedge, decoys = done.result.findings["hedge_flip"], done.result.findings["decoys"]
    plain = items_of(done, "hedge-flip", "plain")
    for arm, flips in zip(ARMS, (hedge.flips.before, hedge.flips.after), strict=True):
        own = plain[plain.arm == arm]
        assert (own.label == "correct").mean() == rate(flips)  # only a claim that holds can flip
        assert flips.estimate > 0.4
    assert not plain.text.str.contains("perhaps").any()
    assert items_of(done, "hedge-flip", "hedged").text.str.contains("perhaps").all()
    # The arm after never hedges: its decoys have nothing to be strict about.
    assert (decoys.specificity.after.estimate, decoys.sensitivity.after.estimate) == (1.0, 1.0)
    hedged = items_of(done, "decoy", "true").query("arm == 'base'").text.str.contains("perhaps").mean()
    assert 0 < hedged < 1
    assert 1 - hedged == rate(decoys.specificity.before)


def test_a_judge_that_peeks_at_the_answer_is_found_out_when_it_is_hidden(study):
    def peeking(label, call, shown):
        if "ANSWER" not in shown or "choose" not in shown["STEP"][0]:
            return label
        gold = shown["ANSWER"][0].split()[-1]
        return "correct" if gold in shown["STEP"][0] else "erroneous"

    with Loopback(Truthful(study, peeking)) as server:
        done = run(study, server, "answer-blind", "factor:gold")
    seen, blind, gold = (items_of(done, name) for name in ("primary", "answer-blind", "factor:gold"))
    chooses = seen.text.str.startswith("choose")
    assert set(seen.label[chooses]) <= {"correct", "erroneous"}
    for table in (blind, gold):
        assert set(table.label[chooses.to_numpy()]) == {"not_checkable"}
        assert (table.label[~chooses.to_numpy()] == seen.label[~chooses].to_numpy()).all()
    # Without the answer nothing is masked; answer-blind masks what states the trace's own, only that.
    assert gold.text.tolist() == seen.text.tolist()
    stated = pd.concat([study.steps(arm).query("cid == 0") for arm in ARMS])
    stated = stated[stated.qid.isin(seen.qid)].states_answer.to_numpy()
    assert (blind.text.str.contains(MASK, regex=False).to_numpy() == stated).all()
    assert (blind.text.to_numpy()[~stated] == seen.text.to_numpy()[~stated]).all()
    assert stated.any()
    answered = [call for call in server.calls if "ANSWER" in parts(call)]
    assert not any(MASK in call.user for call in answered)


def test_a_judge_that_repeats_itself_flips_nothing_and_one_that_does_not_flips_as_often_as_it_does(study):
    with Loopback(Truthful(study)) as server:
        done = run(study, server, "again", "again-warm")
        sent = Counter((call.user, call.body["temperature"]) for call in server.calls)
    assert {row.n_flipped for row in done.result.flips} == {(0, 0)}
    # Equal steps of a question are one call each time; asked again they are sent again.
    assert {
        temperature: {n for (_, t), n in sent.items() if t == temperature} for _, temperature in sent
    } == {
        0.0: {2},
        0.7: {1},
    }

    def drifting(label, call, shown):
        odd = hashlib.sha256(f"{call.body['seed']} {call.user}".encode()).digest()[0] % 4 == 0
        return {"correct": "erroneous", "erroneous": "correct"}.get(label, label) if odd else label

    with Loopback(Truthful(study, drifting)) as server:
        done = run(study, server, "again", seed=7)
    first, second = items_of(done, "primary"), items_of(done, "again")
    decided = first.label.isin(["correct", "erroneous"])
    flipped = (first.label != second.label.to_numpy())[decided]
    [row] = [row for row in done.result.flips if row.labels == "two"]
    assert sum(row.n_flipped) == flipped.sum() > 3
    assert {call.body["seed"] for call in server.calls} == {7, 8}


# --- what is judged -----------------------------------------------------------------------------


def test_other_segmenters_cut_the_same_texts_and_number_their_own_steps(study):
    with Loopback(Truthful(study)) as server:
        done = run(study, server, "segment")
    texts = {
        (row.qid, row.arm): row.text[: row.reasoning_end]
        for arm in ARMS
        for row in study.traces(arm).query("cid == 0").itertuples()
    }
    judged = {name.partition(":")[2] for name in done.about["controls"] if name.startswith("segment:")}
    assert judged == set(SEGMENTERS) - {"sentences"}
    for name in judged:
        table = items_of(done, f"segment:{name}")
        for (qid, arm), own in table.groupby(["qid", "arm"]):
            text = texts[qid, arm]
            assert own.text.tolist() == [
                text[a:b] for a, b in segment(text, name, study.settings.steps.window)
            ]
            assert own.sid.tolist() == list(range(len(own)))


# --- another's words, and whose words -----------------------------------------------------------


def everything(study, rule=lambda label, call, shown: label):
    """A server that judges, rewrites, compares and guesses: by a mark before the manner of each arm."""
    truthful, task = Truthful(study, rule), task_of(study)
    own = {arm: set(study.steps(arm).text) for arm in ARMS}
    texts = {arm: own[arm] - own[other] for arm, other in (ARMS, ARMS[::-1])}

    def script(call):
        shown = parts(call)
        match form(call):
            case "verdict":
                return truthful(call)
            case "rewriting":
                manner = "distilled" if any(s in texts["distilled"] for s in shown["SAMPLE"]) else "base"
                [text] = shown["STEP"]
                question = truthful.by_stem[shown["QUESTION"][0]]
                if "raises" in text and manner == "base":
                    return Answer(json.dumps({"text": "something else ."}))
                if "choose" in text and manner == "distilled":
                    return Answer("no", finish_reason="length")
                pair = task.hedge_pair(question, text)
                return Answer(json.dumps({"text": pair[manner == "distilled"] if pair else text + " "}))
            case "comparison":
                changed = "something else ." in (shown["FIRST"] + shown["SECOND"])
                label = "changed" if changed else "preserved"
                return Answer(json.dumps({"reason": "seen", "label": label}))
            case _:
                [text] = shown["STEP"]
                b_is_after = any(sample in texts["distilled"] for sample in shown["WRITER_B"])
                sure = 50 + 40 * (text in texts["distilled"]) - 40 * (text in texts["base"])
                return Answer(json.dumps({"reason": "so", "probability": sure if b_is_after else 100 - sure}))

    return script, texts


def test_steps_are_rewritten_in_both_manners_and_only_claims_that_stayed_are_judged(study):
    def strict(label, call, shown):
        return "erroneous" if "perhaps" in shown["STEP"][0] and label == "correct" else label

    script, _ = everything(study, strict)
    with Loopback(script) as server:
        file = judge_file(study.path.parent, server.url, max_failure_share=0.5)
        rewriter = study.path.parent / "rewriter.yaml"
        rewriter.write_text(file.read_text().replace("asked-model", "rewriting-model"))
        wanted = Wanted(file, rewriter_file=rewriter, only=("tone-swap",), questions=4)
        done = run_judge_controls(study.path, wanted, progress=False)
        asked = Counter((form(call), call.body["model"]) for call in server.calls)
    assert set(asked) == {
        ("verdict", "asked-model"),
        ("rewriting", "rewriting-model"),
        ("comparison", "asked-model"),
    }
    table = items_of(done, "tone-swap")
    assert set(table.fidelity) == {"preserved", "changed", "failed"}
    assert (table.fidelity.eq("preserved") == table.label.ne("")).all()
    assert set(table.text[table.fidelity == "changed"]) == {"something else ."}
    assert set(table.text[table.fidelity == "failed"]) == {""}
    assert table.reason[table.fidelity == "failed"].str.contains("unreadable twice").all()
    manner = {arm: table[(table.arm == arm) & (table.fidelity == "preserved")] for arm in ARMS}
    # In the manner of the arm before every claim is hedged, in that of the arm after none is.
    assert not manner["distilled"].query("variant == 'own'").text.str.contains("perhaps").any()
    assert manner["distilled"].query("variant == 'other'").text.str.contains("perhaps").any()
    swap = done.result.findings["tone_swap"]
    in_its_manner = {cell.error.estimate for cell in swap.cells if cell.manner == "before"}
    assert in_its_manner == {1.0}
    assert swap.manner.estimate < -0.3
    assert set(done.about["controls"]["tone-swap"]["calls"]) == {"rewriting", "fidelity", "verdicts"}


def test_the_judge_guesses_whose_step_it_reads(study):
    script, texts = everything(study)
    with Loopback(script) as server:
        done = run(study, server, "guess-arm")
    table = items_of(done, "guess-arm")
    sure = table.text.map(
        lambda text: 0.9 if text in texts["distilled"] else 0.1 if text in texts["base"] else 0.5
    )
    assert table.score.tolist() == pytest.approx(sure.tolist())
    assert set(table.label) == {""}
    assert done.result.findings["guess_arm"].auroc.estimate > 0.8
    assert items_of(done, "primary").score.isna().all()


# --- cost, budget, going on ---------------------------------------------------------------------


def test_a_dry_run_sends_and_writes_nothing_and_foretells_the_calls(study):
    script, _ = everything(study)
    only = ("answer-blind", "factor:gold", "segment", "hedge-flip", "guess-arm")
    with Loopback(script) as server:
        file = judge_file(study.path.parent, server.url, price_in=1.0, price_out=2.0)
        before = {path: path.read_bytes() for path in study.path.rglob("*") if path.is_file()}
        planned = plan_judge_controls(study.path, Wanted(file, only=only, questions=3))
        assert not server.calls + server.checks
        assert before == {path: path.read_bytes() for path in study.path.rglob("*") if path.is_file()}
        done = run_judge_controls(
            study.path, Wanted(file, only=only, questions=3), budget=5.0, progress=False
        )
        assert planned.total.calls == len(server.calls)
        assert len(server.checks) <= planned.total.start_ups
        kept = plan_judge_controls(study.path, Wanted(file, only=only, questions=3))
    assert kept.total.calls == 0
    assert {row.control: row.n_items for row in planned.controls} == {
        name: sum(control["items"].values()) for name, control in done.about["controls"].items()
    }
    used = [call["usage"] for made in done.about["controls"].values() for call in made["calls"].values()]
    assert sum(own["prompt_tokens"] for own in used) >= 100 * len(server.calls)
    assert planned.total.cost == pytest.approx(
        sum(row.plan.tokens_in + 2 * row.plan.tokens_out for row in planned.controls) / 1e6
    )


def test_what_the_rewriting_will_lead_to_is_estimated_and_says_so(study):
    file = judge_file(study.path.parent, "http://127.0.0.1:9/v1", price_in=1.0, price_out=2.0)
    planned = plan_judge_controls(study.path, Wanted(file, rewriter_file=file, only=("tone-swap",)))
    rows = {(row.control, row.calls): row for row in planned.controls}
    assert [rows["tone-swap", kind].estimated for kind in ("rewritings", "comparisons", "verdicts")] == [
        False, True, True,
    ]  # fmt: skip
    assert rows["tone-swap", "verdicts"].plan.calls == rows["tone-swap", "rewritings"].plan.calls
    assert "verdicts*" in planned.text()
    assert "* not rewritten yet" in planned.text()
    bare = plan_judge_controls(study.path, Wanted(file, only=("tone-swap",)))
    assert bare.left_out == {"tone-swap": "no rewriter was named (--rewriter FILE)"}
    assert "left out: tone-swap: no rewriter was named" in bare.text()


def test_what_stands_there_is_not_asked_again_and_verifies(study):
    with Loopback(Truthful(study)) as server:
        judge_study(study.path, judge_file(study.path.parent, server.url), progress=False)
        judged = len(server.calls)
        done = run(study, server, "factor:labels")
        assert judged < len(server.calls) <= 2 * judged  # the primary's calls are those of `mechcot judge`
        assert verify(study.path) == []
        shutil.rmtree(study.path / "work")
        sent, held = len(server.calls), {path: path.read_bytes() for path in done.folder.iterdir()}
        again = run(study, server, "factor:labels")
        assert (again.about, len(server.calls)) == (done.about, sent)
        assert held == {path: path.read_bytes() for path in done.folder.iterdir()}
    assert {path.name for path in done.folder.iterdir()} == {
        "items.parquet", "about.json", "result.json", "report.html",
    }  # fmt: skip
    assert study.judge_controls("judge").to_json() == files.read_json(done.folder / "result.json")
    assert files.read_json(done.folder / "about.json") == done.about
    assert Study.open(study.path).instruments()  # the folder's stage is no instrument's
    for path in study.path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    (done.folder / "items.parquet").write_bytes(b"x")
    assert verify(study.path) == [
        "judge_controls/judge/items.parquet (stage judge_controls-judge): has changed since it was written"
    ]


def test_one_budget_holds_for_all_controls_and_a_larger_one_goes_on(study):
    prices = {"price_in": 100.0, "price_out": 1000.0, "max_tokens": 16}
    before = files.digest(study.path / "manifest.json")
    with Loopback(Truthful(study)) as server:
        file = judge_file(study.path.parent, server.url, seed=1, **prices)
        wanted = Wanted(file, only=("again", "factor:tone"), questions=4)
        with pytest.raises(JudgeError, match="larger budget to go on"):
            run_judge_controls(study.path, wanted, budget=2.0, progress=False)
        assert not (study.path / "judge_controls").exists()
        assert files.digest(study.path / "manifest.json") == before
        first = len(server.calls)
        assert {call.body["seed"] for call in server.calls} == {1, 2}  # it got into the second control
        run_judge_controls(study.path, wanted, budget=60.0, progress=False)
        sent = Counter(json.dumps(call.body, sort_keys=True) for call in server.calls)
    assert 0 < first < len(server.calls)
    assert set(sent.values()) == {1}
    free = judge_file(study.path.parent, server.url)
    with pytest.raises(ConfigError, match="a budget needs price_in"):
        run_judge_controls(study.path, Wanted(free), budget=1.0, progress=False)


def test_failed_calls_are_sent_again_and_steps_that_changed_are_judged_anew(study):
    down, truthful = [True], Truthful(study)

    def script(call):
        return Answer(status=400, body=b"{}") if down and "raises" in call.step else truthful(call)

    with Loopback(script) as server:
        with pytest.raises(JudgeError, match="This was the judge control 'primary'; --only chooses others"):
            run(study, server, "again", max_failure_share=0.0)
        first = run(study, server, "again", max_failure_share=0.9)
        failed = items_of(first, "primary").label.eq("api_failure").sum()
        assert failed > 0
        assert first.about["api_failures"] == 2 * failed
        down.clear()
        sent = len(server.calls)
        second = run(study, server, "again", max_failure_share=0.9)
        assert 0 < len(server.calls) - sent <= 2 * failed
        assert second.about["api_failures"] == 0
        judged = items_of(second, "primary")
        path, gone = study.arm_path("base") / "steps.parquet", judged.qid.iloc[0]
        records.write_table(path, study.steps("base").query("qid != @gone"), records.STEPS)
        manifest = load_manifest(study.path)
        manifest["stages"]["steps-base"]["outputs"]["arms/base/steps.parquet"] = files.digest(path)
        files.write_json(study.path / "manifest.json", manifest)
        sent = len(server.calls)
        third = run(study, server, "again", max_failure_share=0.9)
        assert len(server.calls) == sent
    assert len(items_of(third, "primary")) < len(judged)
    assert gone not in set(items_of(third, "primary").query("arm == 'base'").qid)


def test_a_server_that_changes_its_model_on_the_way_stops_the_comparison(study):
    now, truthful = ["m-1"], Truthful(study)

    def by(call):
        answer = Answer('{"word": "forced"}') if call.is_check else truthful(call)
        answer.model = now[0]
        return answer

    with Loopback(by, check=by) as server:
        run(study, server, "again")
        now[0] = "m-2"
        with pytest.raises(JudgeError, match=r"answered as 'm-1' and as 'm-2'.*Run again"):
            run(study, server, "factor:tone")
        done = run(study, server, "factor:tone")
    models = {
        call["returned_model"] for own in done.about["controls"].values() for call in own["calls"].values()
    }
    assert models == {"m-2"}


KILLED = """
import sys
from mechcot.analyses.judge_controls import Wanted, run_judge_controls
wanted = Wanted(sys.argv[2], only=("again", "factor:gold"), questions=4)
run_judge_controls(sys.argv[1], wanted, progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_without_repeating_a_reply(study):
    truthful = Truthful(study)

    def script(call):
        answer = truthful(call)
        answer.delay = 0.01
        return answer

    with Loopback(script) as server:
        file = judge_file(study.path.parent, server.url, concurrency=4, seed=5)
        wanted = Wanted(file, only=("again", "factor:gold"), questions=4)
        total = plan_judge_controls(study.path, wanted).total.calls
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(study.path), str(file)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        deadline = time.monotonic() + 60
        while len(server.calls) < total // 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sent = len(server.calls)
        assert total // 2 <= sent < total
        assert not (study.path / "judge_controls").exists()
        left = plan_judge_controls(study.path, wanted).total.calls
        assert total - sent <= left <= total - sent + 4
        done = run_judge_controls(study.path, wanted, progress=False)
        assert len(server.calls) - sent == left
        repeated = [
            n for n in Counter(json.dumps(c.body, sort_keys=True) for c in server.calls).values() if n > 1
        ]
    assert len(repeated) <= 4
    assert set(items_of(done, "again").label) <= set(records.LABELS[:4])
    assert {row.n_flipped for row in done.result.flips if row.control == "again"} == {(0, 0)}


# --- the exact checker, decoys of one's own, wrong use ------------------------------------------


def test_the_exact_checker_is_the_ground_truth_of_the_controls(study):
    done = run_judge_controls(study.path, Wanted(traces=2), progress=False)
    assert done.name == "exact"
    assert list(items_of(done, "primary").cid.unique()) == [0, 1]
    assert set(done.about["controls"]) == {"primary", "again", "hedge-flip", "decoy"}
    assert set(done.about["left_out"]) == NAMES - set(done.about["controls"])
    assert {row.n_flipped for row in done.result.flips} == {(0, 0)}
    hedge, decoys = done.result.findings["hedge_flip"], done.result.findings["decoys"]
    assert (hedge.flips.before.estimate, hedge.flips.after.estimate) == (0.0, 0.0)
    for rates in (decoys.sensitivity, decoys.specificity):
        assert (rates.before.estimate, rates.after.estimate) == (1.0, 1.0)
    made = items_of(done, "decoy")
    assert made.groupby(["qid", "arm", "variant"]).size().eq(1).all()
    hedged = made.text.str.contains("perhaps")
    assert [hedged[made.arm == arm].any() for arm in ARMS] == [HEDGED[arm] > 0 for arm in ARMS]
    assert "left out: segment:lines, segment:structural, segment:words: the exact checker" in done.text()
    assert "questions without a decoy: 0 of base, 0 of distilled" in done.text()
    assert verify(study.path) == []


def test_decoys_of_ones_own_are_judged_in_place_of_planted_ones(study):
    with Loopback(lambda call: verdict("correct" if "true" in call.step else "erroneous")) as server:
        file = judge_file(study.path.parent, server.url)
        wanted = Wanted(file, only=("decoy",), decoys=own_decoys(study))
        done = run_judge_controls(study.path, wanted, progress=False)
    assert len(items_of(done, "decoy")) == 12
    assert done.result.findings["decoys"].sensitivity.before.estimate == 1.0
    assert done.about["controls"]["decoy"]["untreated"] == {
        "questions without a decoy": dict.fromkeys(ARMS, 4)
    }


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({"temperature": None}, {"again-warm": "the judge file sends no temperature"}),
        ({"temperature": 0.7}, {"again-warm": "the judge's own temperature is 0.7: it is `again`"}),
        (
            {"prompt": "Judge it."},
            {
                f"factor:{name}": "the judge file has a prompt of its own: "
                f"{FACTORS[name].what} is no part of it"
                for name in ("examples", "tone", "alternatives", "answer-use", "partial")
            },
        ),
    ],
)
def test_controls_that_mean_nothing_for_a_judge_are_left_out_with_the_reason(study, changes, left_out):
    file = judge_file(study.path.parent, "http://127.0.0.1:9/v1", **changes)
    planned = plan_judge_controls(study.path, Wanted(file))
    assert planned.left_out == left_out | {"tone-swap": "no rewriter was named (--rewriter FILE)"}
    assert {row.control for row in planned.controls} == NAMES - set(planned.left_out)


def test_wrong_use_is_named(study, tmp_path):
    with pytest.raises(
        UsageError, match=r"no judge control 'tone'; there are: primary, again, .*guess-arm; and"
    ):
        plan_judge_controls(study.path, Wanted(only=("tone",)))
    with pytest.raises(
        UsageError, match=r"99 questions cannot be sampled.*'clinical' has 7.*--questions to 2..7"
    ):
        plan_judge_controls(study.path, Wanted(questions=99))
    traces = study.arm_path("base") / "traces.parquet"
    gone = study.traces("base").query("qid != 'clinical-0000'")
    records.write_table(traces, gone, records.TRACES)  # an arm that is given as traces may lack some
    as_written(study.path)
    assert "clinical-0000" not in sample_of(study, None, 1).questions
    assert sample_of(study, None, 1).n_questions == 6
    with pytest.raises(UsageError, match="1 questions cannot be sampled"):
        plan_judge_controls(study.path, Wanted(questions=1))
    with pytest.raises(UsageError, match="set --traces to 1 or more"):
        plan_judge_controls(study.path, Wanted(traces=0))
    exact = judge_file(tmp_path, "http://127.0.0.1:9/v1").rename(tmp_path / "exact.yaml")
    with pytest.raises(UsageError, match="give the judge file another one"):
        plan_judge_controls(study.path, Wanted(exact))
    with pytest.raises(StudyError, match="there are judge controls of: nothing"):
        study.judge_controls("exact")
    manifest = load_manifest(study.path)
    del manifest["stages"]["steps-distilled"]
    files.write_json(study.path / "manifest.json", manifest)
    with pytest.raises(StudyError, match="the arm 'distilled' has no steps yet"):
        run_judge_controls(study.path, progress=False)


def test_a_studys_own_judge_is_taken_and_a_table_cannot_be_asked_again(tmp_path):
    table = written_study(tmp_path / "table", "judge.kind=table", "judge.path=v.csv", n_questions=2)
    with pytest.raises(UsageError, match=r"come from a table, which cannot be asked again.*--judge"):
        plan_judge_controls(table.path)
    file = judge_file(tmp_path, "http://127.0.0.1:9/v1").rename(tmp_path / "Our Judge.yaml")
    own = written_study(tmp_path / "own", "judge.kind=llm", f"judge.path={file}", n_questions=2)
    with Loopback(Truthful(own)) as server:
        judge_file(tmp_path, server.url).rename(file)
        done = run_judge_controls(own.path, Wanted(only=("again",)), progress=False)
    assert done.name == "our-judge"


def test_the_command_plans_judges_and_says_json(study):
    def call(*arguments):
        return CliRunner().invoke(
            app, ["judge-controls", str(study.path), *arguments], catch_exceptions=False
        )

    with Loopback(Truthful(study)) as server:
        file = str(judge_file(study.path.parent, server.url, price_in=1.0, price_out=2.0))
        given = ("--judge", file, "--only", "again", "--questions", "3")
        dry = call(*given, "--dry-run")
        assert "money at most" in dry.output
        planned = json.loads(call(*given, "--dry-run", "--json").output)
        assert not server.calls + server.checks
        shown = call(*given, "--budget", "9", "--quiet")
        assert planned["total"]["calls"] == len(server.calls)
        found = json.loads(call(*given, "--json").output)
    assert "judged again" in shown.output
    assert str(study.path / "judge_controls" / "judge" / "report.html") in shown.output
    assert (found["name"], found["about"]["questions"]) == ("judge", {"sampled": 3, "of": 7})
    with pytest.raises(UsageError):
        call("--only", "warm")


def test_the_studys_page_names_the_controls_of_each_judge_until_the_steps_are_others(study):
    contrast = study.settings.contrast

    def part(results):
        return study_report.controls_part(
            SimpleNamespace(
                settings=study.settings,
                before=contrast.before,
                after=contrast.after,
                results={"judge_controls": results},
            )
        )

    assert "judge-controls" in part(study_report.results_of(study)).reason
    run_judge_controls(study.path, Wanted(only=("again",)), progress=False)
    results = study_report.results_of(study)
    [row] = part(results).tables[0].rows
    assert (row[0], row[2], row[4]) == ("exact", "1", "none")
    assert row[5] == '<a href="judge_controls/exact/report.html">open</a>'
    hostile = part({"<b>": results["exact"]}).tables[0].rows[0]
    assert "<b>" not in hostile[5]
    manifest = load_manifest(study.path)
    for record in manifest["stages"].values():
        for name in record["outputs"]:
            if name.endswith("steps.parquet"):
                record["outputs"][name] = "0" * 64
    files.write_json(study.path / "manifest.json", manifest)
    assert study_report.results_of(study) == {}
