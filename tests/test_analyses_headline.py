import dataclasses

import pytest

from mechcot.analyses.headline import audit_text, headline_html, headline_text
from mechcot.analyses.summary import summarise
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
    assert [line.split(":")[0] for line in lines.splitlines()] == [
        "plan",
        "commitment",
        "hedge",
        "probe",
        "knowledge",
    ]
    assert max(map(len, (*rows, *lines.splitlines()))) < 130
    assert all(character.isascii() for character in headline_text(summary))


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
            "base": {"auroc_by_layer": missing},
            "base_direction_in_distilled": {"error_auroc_by_layer": missing},
        },
        "knowledge": dict.fromkeys(("knew", "forgot", "learned", "never_knew"), missing),
        "probe": dict.fromkeys(("base", "distilled"), dict.fromkeys(summary["probe"]["base"], missing)),
    }
    text = headline_text(broken)
    wrong = next(line for line in text.splitlines() if line.startswith("wrong steps"))
    assert wrong.split("  ", 1)[1].split()[:2] == ["-", "-"]
    assert wrong.endswith("not known: no claim was judged")
    assert text.count("no claim was judged") == 4


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
