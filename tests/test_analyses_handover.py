"""Hand-overs: planted arrays, tables by hand, tiny models with one and two tokenizers, kills, a study."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from conftest import save_checkpoint, tiny_model
from judging_cases import KEY, by_text, judge_file
from loopback import Loopback
from mechcot import Study
from mechcot.analyses import registry
from mechcot.analyses.arms import pair_of
from mechcot.analyses.handover import writing
from mechcot.analyses.handover.analysis import Counts, analyse, effects, selectivity
from mechcot.analyses.handover.places import NO_SLOT, places_of
from mechcot.analyses.handover.result import GREEDY, SAMPLED, SLOT, row_of
from mechcot.cli.commands import app
from mechcot.core import config, files
from mechcot.core import handover_tables as tables
from mechcot.core.errors import AnalysisError, ConfigError
from mechcot.core.handover_settings import HandoverSettings
from mechcot.core.handover_tables import FORCED, FREE, NEUTRAL, OWN
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.results import Pair
from mechcot.core.settings import ArmSettings
from mechcot.judging.exact import judge_exactly
from mechcot.models.checkpoint import load
from mechcot.pipeline import run as pipeline
from mechcot.steps.of_study import checkpoint_folder, questions_by_id, task_of
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import multiple_choice
from mechcot.tasks.tokens import decode

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "coverage_handover.py"))
PLANTED = runpy.run_path(str(ROOT / "scripts" / "planted_handover.py"))
ARMS = Pair("before", "after")
FEW = HandoverSettings(prefixes=40)


# --- planted arrays -------------------------------------------------------------------------------


def test_all_runs_at_once_are_each_run_by_itself():
    cells = SCRIPT["worlds"]("all", 6, 15, True, np.random.default_rng(0))
    together = effects(SCRIPT["_All"](cells, 15), ARMS, FREE, SAMPLED)
    for run in range(6):
        alone = effects(Counts({key: table[run] for key, table in cells.items()}, 15), ARMS, FREE, SAMPLED)
        for name in ("effect_text", "interaction", "weights_then"):
            point, reach = getattr(together, name)
            found = getattr(alone, name)
            assert found.estimate == pytest.approx(point[run])
            assert found.high - found.low == pytest.approx(2 * reach[run])


@pytest.mark.parametrize("world", ["knowledge", "decoding", "choice"])
def test_what_was_not_changed_is_covered_at_0(world):
    row = SCRIPT["measured"](world, 300, 30, True, seed=1)
    others = {"knowledge", "decoding", "choice"} - {world}
    assert all(row[name] >= 0.91 and row[f"{name}, planted"] == 0 for name in others)
    assert row[world] >= 0.91
    assert row[f"{world}, planted"] > 0.08


def test_the_committed_coverage_keeps_to_its_limits_and_stands_on_the_page():
    found = json.loads((ROOT / "docs" / "handover-coverage.json").read_text())
    assert found["runs"] == 2000
    assert SCRIPT["table"](found["rows"]) in (ROOT / "docs" / "text-or-weights.md").read_text()
    for row in found["rows"]:
        assert all(row[name] >= 0.93 for name in SCRIPT["TERMS"]), row


def test_planted_in_weights_each_term_is_found_alone():
    found = json.loads(PLANTED["OUT"].read_text())
    assert PLANTED["table"](found) in PLANTED["PAGE"].read_text()
    for world in PLANTED["WORLDS"]:
        own = [row for row in found if row["world"] == world]
        assert len(own) == 10
        held = {name: sum(map(PLANTED["covers"], (row[name] for row in own))) for name in PLANTED["TERMS"]}
        assert held.pop(world) == 0
        assert min(held.values()) >= 9, (world, held)


def test_a_choice_edited_into_the_weights_is_the_only_term_that_moves():
    row = PLANTED["run"]("choice", 0, PLANTED["learnt"](0, steps=150), traces=1)
    assert row["choice"][1] > 0.05
    assert PLANTED["covers"](row["knowledge"])
    assert PLANTED["covers"](row["decoding"])


# --- tables by hand -------------------------------------------------------------------------------


def by_hand(n: int = 8) -> tuple[pd.DataFrame, ...]:
    """Questions with one prefix an arm: free and forced, two draws and a greedy one."""
    rng = np.random.default_rng(3)
    questions = pd.DataFrame({"qid": [f"q{i}" for i in range(n)], "stem": [f"s{i}" for i in range(n)]})
    questions = questions.assign(options=[["x", "y"]] * n, gold=0)
    places, steps, verdicts = [], [], []
    for qid in questions.qid:
        for arm in ARMS:
            for writer in ARMS:
                place = {"qid": qid, "arm": arm, "cid": 0, "k": 1, "source": OWN, "writer": writer}
                more = {"kind": "fact", "left_out": "", "no_slot": "", "first_true": 1.0}
                places.append(place | more | {"p_truth": rng.random()})
                for form in (FREE, FORCED):
                    for draw in (0, 1, tables.GREEDY):
                        outcome = "answer" if (qid, form, draw) == ("q0", FREE, 1) else "step"
                        own = {"text": "t", "role": "fact", "n_tokens": 3, "p_truth": rng.random()}
                        row = place | {"form": form, "draw": draw}
                        steps.append(row | own | {"outcome": outcome})
                        if outcome == "step":
                            label = rng.choice(["correct", "erroneous", "not_checkable"])
                            verdicts.append(row | {"instrument": "exact", "label": label, "reason": ""})
    return questions, pd.DataFrame(places), pd.DataFrame(steps), pd.DataFrame(verdicts)


def test_rates_effects_and_terms_are_those_of_the_tables():
    questions, places, steps, verdicts = by_hand()
    found = analyse(questions, ARMS, places, steps, verdicts, temperature=0.7)

    def rate(prefix, writer, form, sampled):
        own = verdicts[(verdicts.arm == prefix) & (verdicts.writer == writer) & (verdicts.form == form)]
        own = own[(own.draw >= 0) == sampled]
        return (own.label == "erroneous").sum() / own.label.isin(["correct", "erroneous"]).sum()

    result = found.to_json()
    for row in (one for one in result["cells"] if one["form"] != SLOT):
        ids = (row["prefix"], row["writer"], row["form"], row["decoding"] == SAMPLED)
        assert row["error"]["estimate"] == pytest.approx(rate(*ids))
    b, a = ARMS
    c = {(p, w): rate(p, w, FREE, True) for p in ARMS for w in ARMS}
    free = row_of(result["effects"], form=FREE, decoding=SAMPLED)
    assert free["effect_text"]["estimate"] == pytest.approx(((c[a, b] - c[b, b]) + (c[a, a] - c[b, a])) / 2)
    assert free["effect_weights"]["estimate"] == pytest.approx(
        ((c[b, a] - c[b, b]) + (c[a, a] - c[a, b])) / 2
    )
    for order in (("text_first", "weights_then"), ("weights_first", "text_then")):
        parts = [free[name]["estimate"] for name in order]
        assert sum(parts) == pytest.approx(free["change"]["estimate"])
    assert free["interaction"]["estimate"] == pytest.approx(c[a, a] - c[b, a] - c[a, b] + c[b, b])
    for row in result["terms"]:
        parts = [row[name]["estimate"] for name in ("knowledge", "decoding", "choice")]
        assert sum(parts) == pytest.approx(row["weights"]["estimate"])
    slot = row_of(result["cells"], form=SLOT, decoding=SAMPLED, prefix=b, writer=a)
    own = places[(places.arm == b) & (places.writer == a)]
    assert slot["error"]["estimate"] == pytest.approx(1 - own.p_truth.mean())
    told = row_of(result["outcomes"], form=FREE, decoding=SAMPLED, prefix=b, writer=b)
    assert (told["n"], told["step"], told["answer"]) == (16, 15, 1)
    judged = row_of(result["cells"], form=FREE, decoding=SAMPLED, prefix=b, writer=b)["n_judged"]
    assert judged == told["correct"] + told["erroneous"] == told["step"] - told["not_checkable"]


def test_a_kind_counts_where_it_is_both_written_and_offered():
    wrote = pd.DataFrame({"qid": ["a", "b", "b"], "kind": ["x", "x", "y"], "p_truth": [0.9, 0.7, 1.0]})
    offered = pd.DataFrame({"qid": ["a", "b"], "kind": ["x", "z"], "p_truth": [0.5, 0.0]})
    codes = pd.Series([0, 1], index=["a", "b"])
    assert selectivity(wrote, offered, codes).estimate == pytest.approx(0.8 - 0.5)
    nothing = selectivity(wrote, offered[offered.kind == "z"], codes)
    assert nothing.estimate is None
    assert nothing.reason == "no kind of claim was both written and offered"


def test_a_task_without_claims_has_reasons_in_place_of_numbers():
    questions, places, steps, verdicts = by_hand()
    places = places.assign(p_truth=np.nan, first_true=np.nan, no_slot=NO_SLOT)
    steps, verdicts = steps[steps.form == FREE].assign(p_truth=np.nan), verdicts[verdicts.form == FREE]
    found = analyse(questions, ARMS, places, steps, verdicts, temperature=0.7)
    mean = next(one for one in found.terms if one.prefix == "mean")
    assert mean.weights.estimate is not None
    assert mean.choice.reason == "the task reads no claims, so that no slot can be forced"
    drift = next(one for one in found.measures if one.measure == "drift")
    assert drift.value.estimate is None
    assert {row.n for row in found.left_out} == {8}


def test_what_does_not_fit_together_is_refused():
    questions, places, steps, verdicts = by_hand()
    with pytest.raises(AnalysisError, match=r"1 next steps have no verdict .*'q0'"):
        analyse(questions, ARMS, places, steps, verdicts[1:], temperature=0.7)
    other = verdicts.assign(instrument=["other", *verdicts.instrument[1:]])
    with pytest.raises(AnalysisError, match="several instruments"):
        analyse(questions, ARMS, places, steps, other, temperature=0.7)
    with pytest.raises(AnalysisError, match="writer 'before' is none of x and after"):
        analyse(questions, Pair("x", "after"), places.assign(arm="x"), steps, verdicts, temperature=0.7)


# --- what stands behind a prefix --------------------------------------------------------------------

MODELS = (
    "questions.path=none",
    "arms={base: {model: a}, distilled: {model: b}}",
    "judge={kind: llm, path: j}",
)
FORM = config.resolve(preset="models", overrides=MODELS).prompt
ASKED = Question("q", "", "What helps?", ("rest", "salt"), 0, "")


@pytest.mark.parametrize(
    ("handed", "head", "said", "ended", "outcome", "text"),
    [
        ("It is cold. It is wet.", "", " Rest helps at once. Salt", False, "step", "Rest helps at once."),
        ("It is cold. It is wet.", "", " Rest helps", False, "cut", ""),
        ("It is cold. It is wet.", "", " Rest helps", True, "step", "Rest helps"),
        ("It is cold. It is wet.", "", " The answer is (A).", False, "answer", ""),
        ("It is cold. It is wet", "", "ter than ever. Rest", False, "runs_on", ""),
        ("It is cold.\n\n", "", "Rest helps.\nSalt", False, "step", "Rest helps."),
        ("It is cold.", "", " \n", True, "empty", ""),
        ("", "", "Rest helps at once. Salt", False, "step", "Rest helps at once."),
        ("It is cold. Rest helps", "Rest helps", " at once. Salt", False, "step", "Rest helps at once."),
        ("It is cold. Rest helps", "Rest helps", " at STOP once.", False, "step", "Rest helps at"),
    ],
)
def test_the_first_step_behind_a_prefix(handed, head, said, ended, outcome, text):
    task = multiple_choice(FORM, "sentences")
    found = writing.next_step(task, 90, ("STOP",), ASKED, handed, head, said, ended)
    assert (found.outcome, found.text) == (outcome, text)
    if outcome == "step":
        assert (handed + said)[found.start :].startswith(text)


# --- models -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few(study: Study) -> Study:
    """The shared study as if it had a hand-over of forty prefixes an arm."""
    return Study(study.path, study.settings.model_copy(update={"handover": FEW}))


def a_writer(few: Study, folder: Path, arm: str) -> writing.Writer:
    return writing.Writer(
        arm=arm,
        checkpoint=load(ArmSettings(model=str(folder)), folder, "cpu"),
        task=task_of(few),
        questions=questions_by_id(few),
        sampling=few.settings.sampling.model_copy(update={"max_new_tokens": writing.longest_step(few)}),
        samples=4,
        window=90,
        seed=0,
    )


@pytest.fixture(scope="module")
def of_base(few: Study, tmp_path_factory):
    """How the base goes on from its own prefixes, and where that is kept."""
    work = tmp_path_factory.mktemp("base")
    places = [place for place in places_of(few) if place.arm == "base"]
    traces = writing._traces(few)
    own = a_writer(few, checkpoint_folder(few, "base"), "base")
    return own, places, traces, writing.next_steps(own, places, traces, work, progress=False), work


def test_places_are_the_same_for_arms_that_wrote_the_same(few, of_base):
    places = of_base[1]
    assert sum(place.source == OWN for place in places) == 40
    assert len({place.key for place in places}) == len(places) == 80
    assert [place.key for place in places_of(few) if place.arm == "base"] == [place.key for place in places]
    texts = {(t.qid, t.arm, t.cid): t.text for arm in ("base",) for t in few.traces(arm).itertuples()}
    steps = few.steps("base").set_index(["qid", "cid", "sid"])
    for place in places:
        if place.source == OWN:
            step = steps.loc[(place.qid, place.cid, place.k)]
            text = texts[place.qid, place.arm, place.cid]
            assert text.startswith(place.text + place.gap + step.text)
            assert not place.gap.strip()
            assert len(place.before) == place.k


def test_neutral_statements_are_true_and_about_others(few, of_base):
    task, known = task_of(few), questions_by_id(few)
    judged = 0
    for own, neutral in zip(of_base[1][::2], of_base[1][1::2], strict=True):
        assert (own.source, neutral.source) == (OWN, NEUTRAL)
        assert (own.slot, own.kind, len(own.before)) == (neutral.slot, neutral.kind, len(neutral.before))
        question = known[own.qid]
        names = {*question.stem.split(), *question.options, question.group}
        names |= {word for text in own.before for word in text.split() if word.endswith(("osis", "ine"))}
        for text, said in zip(own.before, neutral.before, strict=True):
            claim, instead = task.claim(question, text), task.claim(question, said)
            assert (claim is None) == (instead is None)
            if instead is not None:
                judged += 1
                assert instead.object in instead.truth
                assert not {instead.subject, instead.object} & names
                assert instead.hedged == claim.hedged
                assert instead.relation == claim.relation or claim.relation == "suggests"
        assert neutral.text.split() == " ".join(neutral.before).split()
    assert judged > 10


def test_equal_arms_have_no_effect_of_text_or_weights(few, of_base, tmp_path):
    """The same weights under another name, and the same traces: greedy and at slots exactly 0."""
    own, places, traces, (told, rows), _ = of_base
    twin = a_writer(few, checkpoint_folder(few, "base"), "twin")
    more = writing.next_steps(twin, places, traces, tmp_path, progress=False)

    def frame(parts):
        """Of both writers, behind the base's prefixes and behind those of its twin, which wrote the same."""
        both = pd.concat(
            [pd.DataFrame(part).assign(writer=w) for w, part in zip(("base", "twin"), parts, strict=True)]
        )
        return pd.concat([both, both.assign(arm="twin")], ignore_index=True)

    steps, known = frame((rows, more[1])), questions_by_id(few)
    judged = pd.DataFrame(judge_exactly(steps.assign(sid=0, complete=True), known, own.task))
    verdicts = steps.assign(instrument="exact", label=judged.label)[steps.outcome == "step"]
    found = analyse(
        few.questions("clinical"),
        Pair("base", "twin"),
        frame((told, more[0])),
        steps,
        verdicts,
        temperature=0.7,
    )
    for one in (one for one in found.effects if one.decoding == GREEDY or one.form == SLOT):
        assert {
            getattr(one, name).estimate for name in ("change", "effect_text", "effect_weights", "interaction")
        } == {0.0}
    free = next(one for one in found.effects if (one.form, one.decoding) == (FREE, SAMPLED))
    assert free.effect_text.estimate == 0.0  # the draws are the writers' own, so that weights are not
    assert {row.n_judged > 0 for row in found.cells if row.form != SLOT} == {True}


def test_a_killed_hand_over_goes_on_where_it_was(few, of_base, tmp_path):
    own, places, traces, whole, work = of_base
    for part in ("steps", "slots"):
        journal = (work / part / "journal.jsonl").read_bytes()
        assert journal.count(b"\n") > 1
        (tmp_path / part).mkdir()
        (tmp_path / part / "journal.jsonl").write_bytes(journal[: len(journal) // 2])
    assert writing.next_steps(own, places, traces, tmp_path, progress=False) == whole
    for part in ("steps", "slots"):
        assert (tmp_path / part / "journal.jsonl").read_bytes() == (
            work / part / "journal.jsonl"
        ).read_bytes()


def test_slots_are_read_as_a_reading_reads_them(few, of_base, tmp_path):
    """At temperature 1; and sampled objects are true as often as p(truth) says."""
    own, places, traces, (told, rows), _ = of_base
    warm = replace(own, sampling=own.sampling.model_copy(update={"temperature": 1.0}))
    at_one = pd.DataFrame(writing.next_steps(warm, places, traces, tmp_path, progress=False)[0])
    at_one = at_one[(at_one.source == OWN) & at_one.p_truth.notna()].rename(columns={"k": "sid"})
    both = at_one.merge(few.truth("base", "base"), on=["qid", "arm", "cid", "sid"], suffixes=("", "_read"))
    assert len(both) == len(at_one) > 10
    assert np.allclose(both.p_truth, both.p_truth_read, atol=1e-5)
    assert ((both.rank_truth == 1) == (both.first_true == 1)).all()
    forced = pd.DataFrame([row for row in rows if row["form"] == FORCED and row["draw"] >= 0])
    slots = pd.DataFrame(told).set_index(tables.PLACE_KEY).p_truth
    p = slots.loc[list(forced[tables.PLACE_KEY].itertuples(index=False, name=None))].to_numpy()
    wrong = pd.DataFrame(judge_exactly(forced.assign(sid=0, complete=True), own.questions, own.task)).label
    kept = (forced.outcome == "step").to_numpy()
    right = (wrong == "correct").to_numpy()[kept]
    assert abs(right.sum() - p[kept].sum()) < 4 * np.sqrt((p * (1 - p))[kept].sum()) + 1


def byte_checkpoint(folder: Path) -> Path:
    """A random tiny model whose tokens are bytes: it takes every text, in many tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        token: i for i, token in enumerate(("<pad>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())))
    }
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
    fast.chat_template = "{{ messages[0].content }}{% if add_generation_prompt %} <think>{% endif %}"
    fast.save_pretrained(folder)
    tiny_model(vocab=len(vocabulary)).save_pretrained(folder)
    return folder


def test_text_is_handed_to_another_tokenizer(few, of_base, tmp_path):
    _, places, traces, _, _ = of_base
    writer = a_writer(few, byte_checkpoint(tmp_path / "bytes"), "bytes")
    told, prefixes = writing._prefixes(writer, places, traces)
    context = writer.checkpoint.context
    assert prefixes
    for one in prefixes:
        assert decode(writer.checkpoint.tokenizer, one.ids) == one.text
        assert len(one.prompt) + len(one.ids) + writer.sampling.max_new_tokens <= context
    reasons = {row["left_out"] for row in told.values()}
    assert reasons == {"", writing.TOO_LONG}  # 128 bytes hold the shortest prefixes alone
    _, rows = writing.next_steps(writer, places, traces, tmp_path, progress=False)
    assert len(rows) == 5 * len(prefixes)
    assert {row["outcome"] for row in rows} <= {"step", "empty", "answer", "cut", "runs_on"}


def test_a_text_that_a_tokenizer_has_no_words_for_is_left_out_by_name(few, of_base, tmp_path):
    _, places, traces, _, _ = of_base
    writer = a_writer(few, save_checkpoint(tmp_path / "words"), "words")
    told, prefixes = writing._prefixes(writer, places, traces)
    assert {one.place.k for one in prefixes} == {0}  # nothing is handed over there
    assert {row["left_out"] for row in told.values() if row["k"]} == {writing.OTHER_TOKENS}


# --- a study ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handed(study: Study, tmp_path_factory) -> Study:
    """A copy of the shared study with a hand-over."""
    path = tmp_path_factory.mktemp("handed") / "study"
    shutil.copytree(study.path, path, ignore=shutil.ignore_patterns("work"))
    assert "handover" not in registry.results(study.settings)
    with pytest.raises(AnalysisError, match=r"no hand-over\. Make it: mechcot handover"):
        study.handover()
    pipeline.run(path, overrides=("handover.prefixes=40",), progress=False)
    return Study.open(path)


def test_a_finished_study_gets_a_hand_over(handed: Study, study: Study):
    result = handed.result("handover")
    assert handed.handover().to_json() == result
    assert result["n_prefixes"] == {"base": 40, "distilled": 40}
    assert verify(handed.path) == []
    for name in registry.results(study.settings):  # nothing else was made again
        assert (handed.path / "results" / f"{name}.json").read_bytes() == (
            study.path / "results" / f"{name}.json"
        ).read_bytes()
    own = {row["prefix"]: row for row in result["cells"] if row["source"] == OWN and row["form"] == FREE
           and row["decoding"] == SAMPLED and row["prefix"] == row["writer"]}  # fmt: skip
    for arm, row in own.items():  # what an arm writes behind its own text errs as its traces do
        audit = handed.result("audit")["before" if arm == "base" else "after"]["error_rate"]["estimate"]
        assert row["error"]["low"] - 0.03 <= audit <= row["error"]["high"] + 0.03
    summary = handed.summary()["handover"]
    assert set(summary) == {"change", "text", "weights", "interaction", "knowledge", "decoding", "choice"}
    page = handed.report.read_text()
    assert 'id="handover"' in page
    assert "Is it the text so far, or the weights" in page
    figure = handed.handover().figure()
    assert len(figure.data) == 4  # one a column, four cells each
    assert handed.handover().to_frame("terms").prefix.tolist() == [*pair_of(handed), "mean"]


def test_the_command_finds_it_done_and_shows_it(handed: Study):
    before = files.digest(handed.path / "manifest.json")
    done = CliRunner().invoke(app, ["handover", str(handed.path), "--quiet"])
    assert done.exit_code == 0, done.output
    assert files.digest(handed.path / "manifest.json") == before
    assert "written by distilled" in done.output
    assert max(len(line) for line in done.output.splitlines() if "report.html" not in line) <= 80
    shown = CliRunner().invoke(app, ["show", str(handed.path), "handover"])
    assert done.output.startswith(shown.output.rstrip())
    listed = CliRunner().invoke(app, ["handover", str(handed.path), "--dry-run"])
    assert len(re.findall(r"(?m)^\S+ +cached", listed.output)) == 4


def test_a_table_cannot_judge_what_is_not_written_yet(study: Study):
    verdicts = "judge={kind: table, path: verdicts.parquet}"
    with pytest.raises(ConfigError, match=r"handover\.judge: the study's verdicts are a table"):
        config.resolve(preset="organism-small", overrides=(verdicts, "handover={}"))
    config.resolve(preset="organism-small", overrides=(verdicts, "handover.judge=kimi"))
    with pytest.raises(ConfigError, match="samples"):
        config.resolve(preset="organism-small", overrides=("handover.samples=3",))


def test_a_server_judges_next_steps_and_is_priced_before(handed: Study, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    path = tmp_path / "study"
    shutil.copytree(handed.path, path, ignore=shutil.ignore_patterns("work"))
    with Loopback(by_text) as server:
        fields = {"previous": True}
        file = judge_file(
            tmp_path, server.url, price_in=1.0, price_out=2.0, fields=fields, max_failure_share=0.5
        )
        planned = pipeline.plan_handover(path, judge_file=file)
        row = next(row for row in planned.rows if row.what == "handover-judge")
        assert not server.calls
        pipeline.hand_over(path, judge_file=file, progress=False)
        assert row.calls == len(server.calls)
        assert row.money > 0
    opened = Study.open(path)
    assert (
        opened.result("handover")["instrument"]
        == files.read_json(path / "instruments" / "handover.json")["instrument"]
    )
    stages = load_manifest(path)["stages"]
    assert stages["handover-by-base"] == load_manifest(handed.path)["stages"]["handover-by-base"]
    assert any(call.parts("PREVIOUS") for call in server.calls)
