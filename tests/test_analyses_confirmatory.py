"""The family is tested and corrected, marked on the page, and exploratory when its plan came too late."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.multitest import multipletests

from mechcot.analyses import registry, sections
from mechcot.analyses.confirmatory.analysis import FINDINGS, confirm, confirmatory_of, reads
from mechcot.analyses.confirmatory.page import sentence
from mechcot.core import config
from mechcot.core.confirmatory_settings import ConfirmatorySettings, SmallestEffects
from mechcot.core.errors import ConfigError, UsageError
from mechcot.core.registration import Registration
from mechcot.pipeline.report import write_report
from mechcot.stats import detectable_difference, holm, mean_interval, t_test
from mechcot.study.folder import Study
from mechcot.study.writing import create_or_open
from report_cases import VERSIONS, ordinary

EARLY = {name: Registration("0" * 64, name, True, ()) for name in ("answers", "verdicts")}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return ordinary(tmp_path_factory)


def test_every_finding_that_settings_can_name_has_a_place_and_a_smallest_effect() -> None:
    every = ConfirmatorySettings().family
    assert set(FINDINGS) == set(every) == set(SmallestEffects.model_fields)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("confirmatory.family=[steps, steps]", "'steps' stands there twice"),
        ("confirmatory.family=[stpes]", "confirmatory.family.0"),
        ("confirmatory.smallest.steps=0", "confirmatory.smallest.steps"),
        ("confirmatory.cells=subject", "confirmatory.cells"),
    ],
)
def test_a_plan_that_cannot_be_tested_is_refused(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        config.resolve(preset="organism-small", overrides=(override,))


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed: int) -> None:
    p = np.random.default_rng(seed).uniform(0, 0.2, 7)
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])


def test_a_planned_test_that_could_not_be_made_stays_in_the_family() -> None:
    assert holm([0.01, None, 0.02]) == pytest.approx((0.03, None, 0.04))
    assert holm([]) == ()
    with pytest.raises(UsageError, match=r"0\.\.1"):
        holm([1.5])


def test_the_test_is_that_of_the_interval() -> None:
    values = np.random.default_rng(0).normal(0.1, 1, 30)
    found = mean_interval(values)
    assert found.se is not None
    assert found.freedom == pytest.approx(29)
    assert t_test(found.estimate, found.se, found.freedom) == pytest.approx(ttest_1samp(values, 0).pvalue)
    reach = (found.high - found.low) / 2 / found.se
    assert t_test(reach, 1.0, found.freedom) == pytest.approx(0.05)
    with pytest.raises(UsageError, match="above 0"):
        t_test(0.1, 0.0, 5)


def test_a_change_as_large_as_the_detectable_one_is_found_four_times_in_five() -> None:
    rng, n, runs = np.random.default_rng(1), 12, 20_000
    true = detectable_difference(1 / np.sqrt(n), freedom=n - 1)
    values = rng.normal(true, 1, (runs, n))
    found = ttest_1samp(values, 0, axis=1).pvalue <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)  # quantiles of t stand for those of a non-central t
    # a normal one promises too much where questions are few
    assert detectable_difference(1 / np.sqrt(n)) < true


@pytest.mark.parametrize(
    ("p", "estimate", "low", "high", "says"),
    [
        (0.01, 0.2, 0.1, 0.3, "up, more than the smallest that matters"),
        (0.01, -0.2, -0.3, -0.1, "down, more than the smallest that matters"),
        (0.04, 0.06, 0.01, 0.11, "up"),
        (0.04, 0.02, 0.005, 0.035, "up, less than the smallest that matters"),
        (0.5, 0.01, -0.03, 0.04, "no change that matters"),
        (0.5, 0.01, -0.03, 0.06, "open"),
        (None, 0.01, None, None, "not tested"),
    ],
)
def test_what_is_read_off_a_test_and_the_familys_interval(p, estimate, low, high, says) -> None:
    assert reads(p, estimate, low, high, 0.05) == says


def test_a_study_confirms_what_it_registered(study: Study) -> None:
    found = {one.name: one for one in confirmatory_of(study).findings}
    assert list(found) == list(study.settings.confirmatory.family)
    assert all(one.confirmatory for one in found.values())
    steps, audit = found["steps"], study.result("audit")
    assert (steps.estimate, steps.low) == (audit["delta"]["estimate"], audit["delta"]["low"])
    assert steps.p <= steps.p_family
    assert steps.family_low < steps.low < steps.high < steps.family_high
    assert steps.reads == "up, more than the smallest that matters"
    report = study.result("probe")["distilled"]
    share = report["n_errors"] / report["n_steps"]
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert found["probe_bits"].smallest == pytest.approx(0.05 * entropy)
    certain = study.result("certainty")["step_weighted"]["detectable"]
    assert steps.detectable == certain  # one number for one thing


def test_without_a_result_a_finding_says_why_and_counts_all_the_same(study: Study) -> None:
    names = {FINDINGS[name].result for name in study.settings.confirmatory.family}
    results = {name: study.result(name) for name in names}
    whole = {one.name: one for one in confirm(results, study.settings, EARLY).findings}
    gone = results | {"commitment": {"reason": "no reading"}}
    found = {one.name: one for one in confirm(gone, study.settings, EARLY).findings}
    assert (found["commitment"].reads, found["commitment"].reason) == ("not tested", "no reading")
    assert found["commitment"].to_json()["p"] == {"value": None, "reason": "no reading"}
    assert found["steps"].p_family == whole["steps"].p_family
    turned = results | {"audit": {**results["audit"], "within_reads": "not identifiable: it turns"}}
    found = {one.name: one for one in confirm(turned, study.settings, EARLY).findings}
    assert found["within"].reads == "not identifiable: it turns"


def test_the_page_shows_the_family_and_marks_its_statements(study: Study) -> None:
    given = {section.name: section for section in sections.sections_of(sections.findings_of(study))}
    (part,) = given["planned"].parts
    assert part.sentence.startswith("Of 7\u00a0findings registered before any outcome was known, ")
    (table,) = part.tables
    assert [row[0] for row in table.rows] == [FINDINGS[n].says for n in study.settings.confirmatory.family]
    steps = dict(zip(table.head, table.rows[1], strict=True))
    assert steps["matters from / found from"].startswith("5.0 / ")
    assert steps["reads"] == study.confirmatory().to_json()["findings"]["steps"]["reads"]
    marks = {part.name: part.mark for section in given.values() for part in section.parts}
    assert marks["headline"].startswith("confirmatory: right answers, by vote, p ")
    assert "; confirmatory: wrong steps, p < 0.001 after correction, up" in marks["headline"]
    named = {FINDINGS[n].part.format(after="distilled") for n in study.settings.confirmatory.family}
    assert {name for name, mark in marks.items() if mark} == named


def test_a_plan_changed_after_the_verdicts_makes_all_exploratory(study: Study, tmp_path: Path) -> None:
    early = Study.open(shutil.copytree(study.path, tmp_path / "s"))
    late = config.resolve(
        base=early.settings.model_dump(mode="json"), overrides=("confirmatory.smallest.steps=0.01",)
    )
    study = create_or_open(early.path, late, restarting=False)
    write_report(study, VERSIONS)
    page = study.report.read_text()
    said = (
        "The plan was changed after verdicts were read (confirmatory.smallest.steps: was 0.05, now 0.01): "
        "everything is exploratory."
    )
    assert said in page
    assert "confirmatory: wrong steps" not in page
    assert "exploratory: wrong steps" in page
    assert study.summary()["confirmatory"]["registered_before"] == {"answers": False, "verdicts": False}
    again = create_or_open(early.path, early.settings, restarting=False)
    write_report(again, VERSIONS)
    assert "confirmatory: wrong steps" in again.report.read_text()


def test_a_plan_between_answers_and_verdicts_confirms_what_is_about_steps(study: Study) -> None:
    names = {FINDINGS[name].result for name in study.settings.confirmatory.family}
    late = EARLY | {"answers": replace(EARLY["answers"], before=False)}
    found = confirm({name: study.result(name) for name in names}, study.settings, late)
    told = sentence(found.to_json())
    assert told.startswith("Of 5\u00a0findings registered")
    assert told.endswith(
        "No plan was registered before answers were there: findings on answers are exploratory."
    )
    assert {one.name for one in found.findings if not one.confirmatory} == {"answers", "calibration"}


def test_no_finding_chosen_is_all_exploratory(study: Study) -> None:
    none = study.settings.model_copy(update={"confirmatory": ConfirmatorySettings(family=())})
    found = confirm({}, none, EARLY)
    assert sentence(found.to_json()) == "No finding was chosen beforehand: everything is exploratory."


def test_a_terminal_shows_the_plan_and_its_family(study: Study) -> None:
    told = confirmatory_of(study).text()
    assert told.startswith("Of 7 findings registered before any outcome was known, ")
    assert "Plan and confirmatory family" not in told  # its head names the columns
    assert any(line.startswith("wrong steps") and "[" in line for line in told.splitlines())
    assert "confirmatory" in registry.shown_in(study.settings)
    shown = registry.json_of(registry.shown_in(study.settings)["confirmatory"], study)
    assert shown == confirmatory_of(study).to_json()
