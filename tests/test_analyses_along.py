"""Checkpoints along a training: the settings that ask for them, the numbers by hand, and a study with one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import t as student

from mechcot import Study
from mechcot.analyses import registry
from mechcot.analyses.along.analysis import PAIRS, analyse, half_times
from mechcot.analyses.along.counts import MEASURES, counts, settled_of
from mechcot.analyses.along.page import tables
from mechcot.analyses.along.wording import statement
from mechcot.analyses.sections import section
from mechcot.core.config import resolve, to_yaml
from mechcot.core.errors import AnalysisError, ConfigError, TrainingError, UsageError
from mechcot.core.files import digest
from mechcot.core.manifest import load_manifest, verify
from mechcot.core.stages import run_stages, versions
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.run import stages_of
from mechcot.report.parts import Findings

ANALYSIS = next(one for one in registry.ANALYSES if one.name == "along")

# --- settings -----------------------------------------------------------------------------------


def test_shares_add_an_arm_each_of_the_student_and_of_its_seeds() -> None:
    settings = resolve(preset="organism-small", overrides=("along=[0.5, 0.125]", "seeds=[1]"))
    assert list(settings.arms)[-4:] == [
        "distilled-at-50", "distilled-at-12_5", "distilled-seed-1-at-50", "distilled-seed-1-at-12_5",
    ]  # fmt: skip
    whole, own = (settings.arms[name].distill for name in ("distilled-seed-1", "distilled-seed-1-at-50"))
    assert whole is not None
    assert own == whole.model_copy(update={"at": 0.5})
    assert settings.trainings()["distilled"] == {
        "base": 0.0, "distilled-at-12_5": 0.125, "distilled-at-50": 0.5, "distilled": 1.0,
    }  # fmt: skip
    pairs = settings.readings()
    assert ("distilled-seed-1-at-50", "distilled-seed-1-at-50") in pairs
    assert ("base", "distilled-at-50") not in pairs
    assert settings.readings(("base",)) == (("base", "base"), ("base", "distilled"))
    written = yaml.safe_load(to_yaml(settings))
    assert resolve(base=written) == settings
    longer = resolve(base=written, overrides=("arms.distilled.distill.train.epochs=3",))
    assert longer.arms["distilled-at-50"].distill.train.epochs == 3  # type: ignore[union-attr]
    own = resolve(base=written, overrides=("arms.distilled-at-50.dtype=bfloat16",)).arms["distilled-at-50"]
    assert (own.dtype, own.distill) == ("bfloat16", settings.arms["distilled-at-50"].distill)
    more = resolve(base=written, overrides=("along=[0.25]",))
    assert set(more.trainings()["distilled"].values()) == {0.0, 0.125, 0.25, 0.5, 1.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("along=[0]",), "greater than 0"),
        (("along=[0.5, 1]",), "less than 1"),
        (("along=[0.5, 0.5]",), r"along: \[0.5, 0.5\] names a share twice"),
        (
            ("along=[0.5]", "contrast.after=base", "contrast.before=terse"),
            "along: the arm 'base' is not distilled here",
        ),
        (
            ("along=[0.5]", "arms.distilled.server=server.yaml"),
            "along: the arm 'distilled' is sampled by a server",
        ),
        (
            ("along=[0.5]", "arms.distilled-at-50.server=server.yaml"),
            "arms.distilled-at-50: is sampled by a server",
        ),
        (
            ("arms.half={distill: {base: base, examples: rich, at: 0.5}, server: server.yaml}",),
            "arms.half: is sampled by a server",
        ),
        (
            ("arms.half.distill={base: base, examples: rich, at: 0.5, seed: 9}",),
            "arms.half.distill.at: no arm is the end of this training",
        ),
    ],
)
def test_shares_that_cannot_be_are_refused_by_name(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(preset="organism-small", overrides=overrides)


def test_shares_on_one_step_are_refused_before_the_base_is_trained(tmp_path: Path) -> None:
    close = ("along=[0.5, 0.5001]",)
    with pytest.raises(TrainingError, match=r"arm 'distilled', along its training: .* and so is the share"):
        pipeline.plan(tmp_path / "study", preset="organism-small", overrides=close)
    with pytest.raises(TrainingError, match="take one of them out"):
        pipeline.run(tmp_path / "study", preset="organism-small", overrides=close, progress=False)
    assert not (tmp_path / "study" / "models").exists()


# --- numbers by hand ----------------------------------------------------------------------------


def test_half_of_a_change_lies_between_checkpoints() -> None:
    at = np.array([0.0, 0.25, 0.5, 1.0])
    rates = np.array([
        [0.2, 0.3, 0.5, 0.8],  # half of .6 is .5, reached at the third
        [0.2, 0.6, 0.7, 0.8],  # .5 lies three quarters of the way to the second
        [0.8, 0.7, 0.6, 0.2],  # falling: .5 a quarter of the way from the third to the end
        [0.2, 0.6, 0.1, 0.8],  # first passed, though it falls back
        [0.4, 0.9, 0.1, 0.4],  # no change
        [0.4, np.nan, 0.5, 0.6],
    ])  # fmt: skip
    wanted = [0.5, 0.1875, 0.625, 0.1875, np.nan, np.nan]
    np.testing.assert_allclose(half_times(at, rates.T), wanted)


ARMS = {"base": 0.0, "s-at-25": 0.25, "s-at-50": 0.5, "s": 1.0}
EARLY, LATE, FLAT = (0.2, 0.7, 0.75, 0.8), (0.2, 0.25, 0.35, 0.8), (0.5, 0.5, 0.5, 0.5)


def planted(seed: int, paths: dict[str, tuple[float, ...]], n: int = 200) -> np.ndarray:
    """Counts [points, questions, measures, 2]: ten trials a question, of probability near the path's."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 0.03, n)
    table = np.zeros((len(ARMS), n, len(MEASURES), 2))
    for m, name in enumerate(MEASURES):
        for i in range(len(ARMS)):
            table[i, :, m, 0] = rng.binomial(10, np.clip(paths.get(name, LATE)[i] + own, 0, 1))
    table[..., 1] = 10
    return table


def test_times_and_differences_have_the_jackknifes_intervals() -> None:
    table = planted(0, {"answers": EARLY, "hedged": FLAT}, n=40)
    table[0, :, -1] = table[-1, :, -1]  # not changed at all
    found = analyse({"s": ARMS}, dict(zip(ARMS, table, strict=True)), {"s": 7})
    (run,) = found.runs
    assert (found.before, found.n_questions, found.halves, found.apart) == ("base", 40, (), ())
    assert (run.student, run.seed) == ("s", 7)

    def half(kept: list[int], m: int) -> float:
        """By `numpy.interp` on a fine grid; no code of the analysis."""
        sums = table[:, kept, m].sum(axis=1)
        rates = sums[:, 0] / sums[:, 1]
        fine = np.linspace(0, 1, 200_001)
        path = np.interp(fine, list(ARMS.values()), (rates - rates[0]) / (rates[-1] - rates[0]))
        return float(fine[np.argmax(path >= 0.5)])

    everyone = list(range(40))
    times = np.array([half(everyone, m) for m in (0, 1)])
    without = np.array([[half([i for i in everyone if i != q], m) for m in (0, 1)] for q in everyone])
    pair = next(row for row in run.apart if (row.first, row.second) == ("answers", "step_error"))
    for interval, estimate, left in (
        (run.halves[0].time, times[0], without[:, 0]),
        (pair.difference, times[1] - times[0], without[:, 1] - without[:, 0]),
    ):
        reach = student.ppf(0.975, 39) * np.sqrt(39 / 40 * ((left - left.mean()) ** 2).sum())
        assert interval.estimate == pytest.approx(estimate, abs=1e-4)
        assert [interval.low, interval.high] == pytest.approx([estimate - reach, estimate + reach], abs=1e-3)
    assert run.points[1].rates["answers"].estimate == table[1, :, 0, 0].sum() / 400
    assert [point.done["answers"].estimate for point in run.points][::3] == [0.0, 1.0]
    flat = run.halves[-1]
    assert flat.time.estimate is None
    assert flat.time.reason == "its total change is not told from none"
    assert all(row.difference.estimate is None for row in run.apart if "hedged" in (row.first, row.second))
    told = statement(found.to_json())
    assert "cannot tell what comes first" in told
    assert "Half of the change was behind after " in told
    assert (
        "and before the first checkpoint, at 25\u00a0%, for right answers, by vote, in the training of s."
        in told
    )
    cells = [row[-1] for row in tables(found.to_json())[2].rows]
    assert cells[0].startswith("+")  # right answers and wrong steps
    assert cells[4] == "between the same checkpoints: not told"  # wrong steps and own answer at the prompt
    assert len(found.to_frame()) == len(ARMS) * len(MEASURES)


def runs_of(paths: dict[str, tuple[float, ...]], n_seeds: int) -> str:
    tables, trainings = {}, {}
    for seed in range(n_seeds):
        arms = {f"{arm}-{seed}" if share else arm: share for arm, share in ARMS.items()}
        made = dict(zip(arms, planted(seed, paths), strict=True))
        tables |= {arm: table for arm, table in made.items() if arm not in tables}
        trainings[f"s-{seed}"] = arms
    found = analyse(trainings, tables, {name: k for k, name in enumerate(trainings)})
    assert len(found.apart) == (len(PAIRS) if n_seeds >= 3 else 0)
    return statement(found.to_json())


def test_an_order_is_stated_of_three_seeds_and_only_where_it_holds() -> None:
    early = {"answers": EARLY}
    assert "2 training runs cannot tell what comes first." in runs_of(early, 2)
    told = runs_of(early, 4)
    assert "over 4 training seeds" in told
    assert "right answers, by vote before wrong steps" in told
    assert "wrong steps before" not in told
    assert "Of no pair of measures, 10 looked at together, is it told which comes first." in runs_of({}, 4)
    assert runs_of(dict.fromkeys(MEASURES, FLAT), 3).startswith("No measure is told to have changed")


def test_times_between_the_same_checkpoints_have_no_order() -> None:
    """Both changes come before the first checkpoint: a straight line alone says which is first."""
    told = runs_of({"answers": (0.2, 0.79, 0.8, 0.8), "step_error": (0.2, 0.55, 0.7, 0.8)}, 4)
    assert "by vote before hedged steps" in told
    assert "by vote before wrong steps" not in told


def test_a_measure_that_overshoots_or_has_no_value_is_told() -> None:
    table = planted(0, {"answers": (0.2, 0.1, 0.5, 0.8), "step_error": (0.2, 0.95, 0.9, 0.6)})
    table[1, :, 3] = 0  # no trace of that arm was long enough
    found = analyse({"s": ARMS}, dict(zip(ARMS, table, strict=True)), {"s": 0})
    told = statement(found.to_json())
    rate = found.runs[0].points[1].rates["answers"].estimate
    assert f"by vote behind their start at 1 of 2 checkpoints (farthest {100 * rate:.1f}" in told
    assert "wrong steps past their end at 2 of 2 checkpoints (farthest 9" in told
    locked = found.runs[0].halves[3].time
    assert locked.reason == "an arm along the training has nothing to count it on"
    assert "locked" not in told


def test_a_settled_trace_agrees_at_prefixes_spread_to_the_answer() -> None:
    def forced(cid: int, winners: str) -> list[dict[str, object]]:
        p = {"a": [0.7, 0.3], "b": [0.2, 0.8], "=": [0.5, 0.5]}
        row = {"qid": "q", "arm": "x", "cid": cid, "lead_in": 0, "permutation": 0, "layer": -1}
        return [row | {"k": k, "p": p[winner]} for k, winner in enumerate(winners)]

    # cid: forced answers by prefix, steps, the step that states the answer
    cases = {0: ("abababb", 6, None), 1: ("aabaaab", 6, 5), 2: ("ba", 1, None), 3: ("=aa", 2, None),
             4: ("aaaab", 4, 4)}  # fmt: skip
    rows = pd.DataFrame([row for cid, (winners, _, _) in cases.items() for row in forced(cid, winners)])
    steps = pd.DataFrame([
        {"qid": "q", "arm": "x", "cid": cid, "sid": sid, "states_answer": sid == says}
        for cid, (_, n, says) in cases.items() for sid in range(n)
    ])  # fmt: skip
    ends = ["stop", "stop", "stop", "stop", "length"]
    traces = pd.DataFrame({"qid": "q", "arm": "x", "cid": range(5), "answer": 0, "finish_reason": ends})
    found = settled_of(traces, steps, rows).set_index("cid")
    assert found.at_prompt.to_dict() == {0: 1.0, 1: 1.0, 2: 0.0, 3: 0.0}  # a tie is no agreement; 4 is cut
    # 0: prefixes 0, 3, 6: a b b. 1: 0, 2 (half to even), 5: a b a; 2: two prefixes are too few
    assert found.locked[[0, 1, 3]].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(found.locked[2])
    straight = pd.DataFrame(forced(0, "aabaaaa"))  # 0, 3, 6
    assert settled_of(traces, steps, straight).locked.tolist() == [1.0]
    with pytest.raises(AnalysisError, match="question q, trace 0: prefix 3 has no forced answer"):
        settled_of(traces, steps, straight[straight.k != 3])
    with pytest.raises(AnalysisError, match="prefix 1 has two forced answers"):
        settled_of(traces, steps, pd.concat([straight, straight[straight.k == 1]]))
    assert settled_of(traces.assign(answer=-1), steps, rows).empty


# --- a study ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The small study with a checkpoint along its training, added when it was finished; one analysis."""
    path = tmp_path_factory.mktemp("along") / "study"
    shutil.copytree(study.path, path, ignore=shutil.ignore_patterns("work"))
    made = pipeline.read(path, overrides=("along=[0.5]",), progress=False)
    run_stages(path, [stage for stage in stages_of(made) if stage.name == "along"], versions())
    return Study.open(path)


def test_a_finished_study_takes_a_share_and_its_students_stay(
    study: Study, kept: Study, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="nothing was kept along the training of distilled"):
        study.along()
    assert digest(kept.path / "models" / "distilled") == digest(study.path / "models" / "distilled")
    before, after = (load_manifest(one.path)["stages"] for one in (study, kept))
    assert {name for name in before if after[name] != before[name]} == {"judge", "prompts"}
    kept_rows = after["judge"]["outputs"]  # the same verdicts, and those of one arm more
    assert {**kept_rows, **before["judge"]["outputs"]} == kept_rows
    assert after["along-distilled"]["outputs"].keys() == {"models/distilled-at-50"}
    assert {"sample-distilled-at-50", "read-distilled-at-50-by-distilled-at-50"} <= after.keys()
    assert verify(kept.path) == []
    rows = pipeline.plan(kept.path, overrides=("along=[0.25]",)).rows
    (row,) = [row for row in rows if row.what == "along-distilled"]
    assert row.state == "to do"
    assert "distilled is there; trained again up to the last: distilled-at-25 after step" in row.note
    assert "distill-distilled" not in {row.what for row in rows if row.state == "to do"}
    fresh = pipeline.plan(tmp_path / "new", preset="organism-small", overrides=("along=[0.5]",)).rows
    (row,) = [row for row in fresh if row.what == "along-distilled"]
    assert row.note.startswith("kept as distilled is trained: distilled-at-50 after step")


def test_its_measures_are_those_of_the_other_analyses(kept: Study) -> None:
    found = kept.along()
    assert kept.result("along") == found.to_json()
    (run,) = found.runs
    assert [(point.arm, point.share) for point in run.points] == [
        ("base", 0.0), ("distilled-at-50", 0.5), ("distilled", 1.0),
    ]  # fmt: skip
    answers, audit, words = (getattr(kept, name)().to_json() for name in ("answers", "audit", "hedge_words"))
    for point, role in ((run.points[0], "before"), (run.points[2], "after")):
        told = {name: rate.estimate for name, rate in point.rates.items()}
        assert told["answers"] == pytest.approx(answers[role]["sc"])
        assert told["step_error"] == pytest.approx(audit[role]["error_rate"]["estimate"])
        assert told["hedged"] == pytest.approx(words["words"]["hedge"]["steps"][role]["estimate"])
    for point in run.points:
        locks = kept.commitment(point.arm).shares
        for own, other in (("at_prompt", "agrees_at_prompt"), ("locked", "locked_by_count")):
            assert point.rates[own].estimate == pytest.approx(locks[other].estimate)
    total = run.halves[1].total
    assert [total.estimate, total.low] == pytest.approx([audit["delta"][key] for key in ("estimate", "low")])


def test_it_stands_in_summary_and_page(kept: Study) -> None:
    assert ANALYSIS.summary(kept.result("along"), {})["trainings"] == 1  # type: ignore[misc]
    made = section(Findings(kept.settings, {"along": kept.result("along")}), "along")
    assert made.title == "What changes first along the training?"
    (part,) = made.parts
    assert part.sentence.endswith("One training run cannot tell what comes first.")
    assert [row[0] for row in part.tables[0].rows] == ["base", "distilled-at-50", "distilled"]
    nothing = section(Findings(kept.settings, {"along": {"reason": "no verdicts"}}), "along")
    assert nothing.parts[0].reason == "no verdicts"
    figure = kept.along().figure()
    assert all(len(trace.x) == 3 for trace in figure.data if trace.mode == "lines+markers")
    assert "cannot tell what comes first" in kept.along().text()


def test_counts_name_a_verdict_of_no_step(kept: Study) -> None:
    arm = "distilled-at-50"
    questions, traces = kept.questions("clinical"), kept.traces(arm)
    traces = traces[traces.qid.isin(questions.qid)]
    steps, verdicts = (
        table[table.qid.isin(questions.qid)] for table in (kept.steps(arm), kept.verdicts(arm))
    )
    steps = steps.assign(hedged=False)
    with pytest.raises(AnalysisError, match="is not among the steps"):
        counts(questions, traces, steps.iloc[1:], verdicts, kept.forced(arm))
    table = counts(questions, traces, steps, verdicts, kept.forced(arm))
    assert table[:, 0, 1].tolist() == [1.0] * len(table)
    assert table[:, -1, 0].sum() == 0
