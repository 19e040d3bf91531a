import dataclasses

import pytest

from mechcot.analyses.audit.terminal import terminal_text as audit_text
from mechcot.analyses.headline import headline_html, headline_text
from mechcot.analyses.summary import summarise
from mechcot.core.words import plain_signs, score
from mechcot.probe.incremental import NOT_USED
from report_cases import HOSTILE, ordinary


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ordinary(tmp_path_factory)


@pytest.fixture(scope="module")
def summary(study):
    return summarise(study, {})


def test_the_table_sets_both_arms_and_their_difference_in_columns(summary):
    table, lines = headline_text(summary).split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == [
        "24", "clinical", "questions,", "3", "traces", "each", "base", "distilled", "difference", "[95", "%",
        "interval]",
    ]  # fmt: skip
    end = head.index("distilled") + len("distilled")
    vote = next(row for row in rows if row.startswith("right answers, by vote"))
    assert vote[:end].endswith(f"{100 * summary['answers']['distilled']['sc']:.1f} %")
    delta = summary["answers"]["delta_sc"]
    assert vote.endswith(
        f"{100 * delta['estimate']:+.1f} points [{100 * delta['low']:+.1f}, {100 * delta['high']:+.1f}]"
    )
    single = next(row for row in rows if row.startswith("right answers, single traces"))
    gain = summary["answers"]["distilled"]["accuracy"] - summary["answers"]["base"]["accuracy"]
    assert single.endswith(f"{100 * gain:+.1f} points")
    assert [row.split("  ")[0] for row in rows if row.startswith("control")] == [
        "control chain: right answers", "control chain: wrong steps", "control terse: right answers",
        "control terse: wrong steps",
    ]  # fmt: skip
    assert [line.split(":")[0].split(" beside frequency")[0] for line in lines.splitlines()] == [
        "plan",
        "commitment, base",
        "commitment, distilled",
        "hedge, base's hedges",
        "hedge, base's hedges,",
        "hedge, distilled's asserted errors",
        "hedge, distilled's asserted errors,",
        "probe, base",
        "probe, distilled",
        "knowledge",
        "knowledge, selected on error",
    ]
    assert max(map(len, rows)) < 130
    assert max(map(len, lines.splitlines())) < 220  # reasons for missing intervals included
    assert all(character.isascii() for character in headline_text(summary))


def test_each_line_has_its_comparator_its_interval_and_its_counts(study, summary):
    text = headline_text(summary)
    for arm in ("base", "distilled"):
        found, report = summary["commitment"][arm], study.result("commitment")["arms"][arm]
        line = next(row for row in text.splitlines() if row.startswith(f"commitment, {arm}: "))
        assert f"chance {100 * report['chance_at_prompt']:.0f} %" in line
        assert line.endswith(f"({report['n_traces']} traces of {report['n_questions']} questions)")
        assert found["intervals"]["locked_by_count"]["low"] == report["locked_by_count"]["low"]
        report = study.result("probe")[arm]
        line = next(row for row in text.splitlines() if row.startswith(f"probe, {arm}: "))
        together = plain_signs(score(report["baselines"]["stack"]["auroc"]))
        assert f"all simpler things together {together}, " in line
        assert ("no fold used the probe" in line) == (report["stack"]["n_folds"] == 0)
        assert f"({report['n_steps']} steps of {report['n_questions']} questions)" in line
    assert "random directions to 0." in text
    best = summary["hedge"]["base"]["best"]
    assert best["auroc"]["estimate"] == max(summary["hedge"]["base"]["auroc_by_layer"])
    assert "beside frequency: not known (exposure in the training text is the same for all)" in text


@pytest.mark.parametrize(
    ("low", "says"), [(0.01, "more than frequency"), (-0.01, "no more than frequency shown")]
)
def test_the_line_of_a_hedge_direction_has_frequency_beside_it(summary, low, says):
    def interval(value, low, high):
        return {"estimate": value, "low": low, "high": high}

    beside = {
        "alone": interval(0.83, 0.8, 0.86), "minus": interval(0.01, -0.02, 0.04), "n_pairs": 812,
        "inside": interval(0.65, 0.6, 0.7), "alone_inside": interval(0.6, 0.55, 0.65),
        "minus_inside": interval(0.05, low, 0.11),
    }  # fmt: skip
    own = summary["hedge"]["base"]
    hedge = {**summary["hedge"], "base": {**own, "best": {**own["best"], "frequency": beside}}}
    lines = headline_text({**summary, "hedge": hedge}).splitlines()
    assert next(line for line in lines if line.startswith("hedge, base's hedges, ")) == (
        "hedge, base's hedges, beside frequency alone 0.83 [0.80, 0.86]: +0.01 [-0.02, +0.04]; "
        f"subjects met as often: +0.05 [{low:+.2f}, +0.11]: {says}"
    )


def test_a_probe_that_no_fold_used_adds_no_interval_of_width_0(summary):
    unused = {"estimate": 0.0, **{end: {"value": None, "reason": NOT_USED} for end in ("low", "high")}}
    arm = summary["probe"]["base"]
    arms = {**summary["probe"], "base": {**arm, "intervals": {**arm["intervals"], "stack_gain": unused}}}
    line = next(row for row in headline_text({**summary, "probe": arms}).splitlines() if "probe, base" in row)
    assert f", {NOT_USED} (" in line
    assert "0.000" not in line


def test_the_same_numbers_stand_in_the_notebooks_table(summary):
    html = headline_html(summary)
    for row in headline_text(summary).split("\n\n")[0].splitlines()[1:]:
        assert row.split("  ")[0].strip() in html.replace("&amp;", "&")
    assert html.count("<tr>") == html.count("</tr>") == 15


def test_a_notebook_gets_no_markup_of_the_data(summary):
    hostile = {**summary, "contrast": {**summary["contrast"], "domain": "<script>alert(1)</script>"}}
    assert "<script" not in headline_html(hostile)
    assert "&lt;script&gt;" in headline_html(hostile)


def test_missing_numbers_are_reasons_and_dashes(summary):
    missing = {"value": None, "reason": "no claim was judged"}
    arms = {arm: {**summary["audit"][arm], "error_rate": missing} for arm in ("base", "distilled")}
    nothing = dict.fromkeys(("estimate", "low", "high"), missing)
    broken = {
        **summary,
        "audit": {**summary["audit"], **arms, "delta": nothing},
        "hedge": {
            "base": {"auroc_by_layer": missing, "best": missing},
            "base_direction_in_distilled": {"error_auroc_by_layer": missing, "best": missing},
        },
        "knowledge": dict.fromkeys(("knew", "forgot", "learned", "never_knew", "facts"), missing),
        "probe": dict.fromkeys(("base", "distilled"), dict.fromkeys(summary["probe"]["base"], missing)),
    }
    text = headline_text(broken)
    wrong = next(line for line in text.splitlines() if line.startswith("wrong steps"))
    assert wrong.split("  ", 1)[1].split()[:2] == ["-", "-"]
    assert wrong.endswith("not known: no claim was judged")
    assert text.count("no claim was judged") == 5


def test_the_audit_has_a_row_a_judged_kind_and_hides_control_characters(study):
    result = study.audit()
    text = audit_text(result)
    judged = [role for role in result.roles if role.errors.n_judged_before or role.errors.n_judged_after]
    assert len([line for line in text.splitlines() if line.startswith("  kind: ")]) == len(judged)
    assert "kind: plan" not in text
    assert f"{100 * result.after.error_rate.estimate:.1f} % of {result.after.n_judged}" in text
    assert f"{100 * result.delta.estimate:+.1f} points" in text
    role = dataclasses.replace(judged[0], role=f"fact{HOSTILE[-1]}\n\x1b[31m")
    text = audit_text(dataclasses.replace(result, roles=(role,)))
    assert "kind: fact?gnp.exe" in text
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_a_commitment_that_no_trace_shows_says_why(summary):
    none = {"value": None, "reason": "no trace is left"}
    arms = {name: dict.fromkeys(summary["commitment"][name], none) for name in ("base", "distilled")}
    assert "commitment: not known (no trace is left)" in headline_text({**summary, "commitment": arms})
