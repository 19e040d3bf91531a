"""Ratings of traces: the draw, the forms, the import, and planted effects that come back."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from browser import needs_chromium, played
from likert_cases import ARMS, EFFECTS, build, fill
from mechcot.analyses import likert, registry, sections
from mechcot.analyses.likert import power
from mechcot.analyses.likert.design import checks_of, plan_of
from mechcot.analyses.likert.draw import _shown
from mechcot.analyses.likert.power import in_points, power_of
from mechcot.analyses.likert.report_page import render, section, write_result
from mechcot.analyses.likert.scales import STATEMENTS
from mechcot.analyses.likert.stored import found
from mechcot.analyses.shown import shown
from mechcot.core import files
from mechcot.core.errors import AnalysisError, DataError, StudyError, UsageError
from mechcot.core.naming import ARM_COLOURS
from mechcot.report.palette import arm_colours
from mechcot.report.parts import Findings

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "{{ 7*7 }} {% raw %}",
    "x\u202egnp.exe & \"quoted\" 'single'\0 </textarea></fieldset>",
)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A study with its forms handed out, and what participants export."""
    study = build(tmp_path_factory.mktemp("likert") / "s")
    drawn = likert.draw_ratings(study, 100, arms=ARMS)
    folder = likert.write_forms(study, drawn, study.path / "likert")
    form = re.search(r'data-form="([^"]+)"', next((folder / "forms").glob("*.html")).read_text())[1]
    return study, drawn, folder, fill(drawn, form)


def read(case, table, tmp_path, *, name="ratings.csv"):
    table.to_csv(tmp_path / name, index=False)
    return likert.read_ratings(case[0], [tmp_path / name], case[2] / "key.json")


# --- the draw ------------------------------------------------------------------------------------


def test_types_and_questions_are_balanced_and_everybody_rates_one_type(case):
    _, drawn, _, _ = case
    sheets = drawn.sheets.merge(drawn.items[["item", "qid"]], on="item")
    people = sheets.groupby("participant")
    assert (people.arm.nunique() == 1).all()
    assert people.arm.first().value_counts().to_dict() == dict.fromkeys(ARMS, 25)
    assert (people.qid.nunique() == 6).all()
    counts = sheets.groupby(["arm", "qid"]).size()
    assert len(counts) == 4 * 12
    assert set(counts) == {12, 13}
    checks = sheets[sheets.check > 0].groupby("participant")
    assert (checks.size() == 2).all()
    assert (checks.check.nunique() == 2).all()  # the same answer everywhere misses one


def test_a_question_without_a_finished_trace_of_every_arm_is_not_drawn_and_counted(case):
    study, drawn, _, _ = case
    assert "clinical-000" not in set(drawn.items.qid)
    assert drawn.left_out == 1
    assert "Left out: 1 question without" in drawn.text()
    alone = likert.draw_ratings(study, 8, arms=ARMS[:2], questions=40, each=2)
    assert "clinical-000" in set(alone.items.qid)


def test_the_same_seed_gives_the_same_forms(case):
    study, drawn, _, _ = case
    again = likert.draw_ratings(study, 100, arms=ARMS)
    assert again.sheets.equals(drawn.sheets)
    assert not likert.draw_ratings(study, 100, arms=ARMS, seed=5).sheets.equals(drawn.sheets)
    assert likert.draw_ratings(study, 8).arms == ("base", "distilled", "correct", "summary")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"participants": 3}, "3 participants cannot cover 4 arms"),
        ({"each": 13}, "rates 1 to 12 questions, not 13"),
        ({"arms": ("base",)}, "at least two arms"),
        ({"arms": ("base", "base")}, "named twice"),
    ],
)
def test_counts_that_do_not_fit_are_refused(case, how, said):
    with pytest.raises(UsageError, match=said):
        likert.draw_ratings(case[0], **{"participants": 100, "arms": ARMS, **how})
    with pytest.raises(StudyError, match="no arm 'nobody'"):
        likert.draw_ratings(case[0], 10, arms=("base", "nobody"))


def test_plans_differ_by_at_most_one_for_any_counts():
    for participants, types, questions, each in [(10, 3, 7, 2), (7, 2, 5, 5), (25, 4, 9, 4)]:
        plan = plan_of(participants, types, questions, each)
        assert np.ptp(np.bincount(plan.group[::each])) <= 1
        for group in range(types):
            assert np.ptp(np.bincount(plan.item[plan.group == group], minlength=questions)) <= 1
        pairs = set(zip(plan.rater, plan.item, strict=True))
        assert len(pairs) == participants * each
    assert len(checks_of(1, np.random.default_rng(0))) == 1


def test_power_grows_with_participants_and_questions_and_is_that_of_the_analysis():
    found = power_of(100, 4, 12, 6, seed=0, runs=15)
    half, own, double, more = found.cases
    assert [case.participants for case in found.cases] == [50, 100, 200, 100]
    assert half.detectable > own.detectable > double.detectable
    assert own.detectable > more.detectable
    assert own.power[2] > own.power[0]
    # what is seen with a chance of 80 % lies between the effects whose power does
    assert np.interp(own.detectable, power.EFFECTS, own.power) == pytest.approx(0.8, abs=0.25)
    assert "50                   12" in found.text()
    assert "needs 6 participants" in power_of(20, 4, 12, 6, seed=0).text()
    assert in_points(0.0) == pytest.approx(0)
    assert 0.3 < in_points(0.8) < 0.6


# --- the forms -----------------------------------------------------------------------------------


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_a_form_tells_nothing_of_arms_and_holds_hostile_text_as_text(tmp_path):
    study = build(tmp_path / "s", questions=8, texts=HOSTILE)
    drawn = likert.draw_ratings(study, 8, arms=ARMS, questions=7, each=7)
    folder = likert.write_forms(study, drawn, study.path / "likert")
    pages = sorted((folder / "forms").glob("*.html"))
    assert [page.stem for page in pages] == sorted(drawn.sheets.participant.unique())
    listed = pd.read_csv(folder / "participants.csv")
    assert [Path(name).stem for name in listed.form] == list(listed.participant)
    for page in pages:
        text = page.read_text()
        assert not any(arm in text for arm in ("distilled", "clinical-"))
        parsed = _Page()
        parsed.feed(text)
        scripts = [attrs for tag, attrs in parsed.tags if tag == "script"]
        assert scripts == [{}]
        assert not [
            tag for tag, attrs in parsed.tags if tag == "img" or any(k.startswith("on") for k in attrs)
        ]
        assert sum(tag == "fieldset" for tag, _ in parsed.tags) == 7 * 4 + 2
        assert "http" not in re.sub(r"http-equiv", "", text)
        said = " ".join(parsed.text)
        assert "<script>alert(1)</script>" in said
        assert "{{ 7*7 }} {% raw %}" in said


def test_forms_are_never_overwritten_and_consent_may_be_ones_own(case, tmp_path):
    study, drawn, folder, _ = case
    with pytest.raises(StudyError, match="never overwritten"):
        likert.write_forms(study, drawn, folder)
    (tmp_path / "consent.txt").write_text("We ask\nfor this.\r\n\r\nAnd <b>that</b>.\n")
    own = likert.write_forms(study, drawn, tmp_path / "own", consent=tmp_path / "consent.txt")
    text = next((own / "forms").glob("*.html")).read_text()
    assert "<p>We ask for this.</p>" in text
    assert "&lt;b&gt;that&lt;/b&gt;" in text
    assert "You are invited" not in text
    (tmp_path / "empty.txt").write_text(" \n\n ")
    with pytest.raises(DataError, match="is empty"):
        likert.write_forms(study, drawn, tmp_path / "other", consent=tmp_path / "empty.txt")


# --- the import ----------------------------------------------------------------------------------


def test_planted_effects_come_back_with_everybody_and_everything_counted(case, tmp_path):
    _, drawn, _, table = case
    table = table.copy()
    lazy = table.participant == table.participant.iloc[0]
    table.loc[lazy & (table.check != ""), "check"] = "3"
    table.loc[7, ["load", "faithfulness"]] = ""
    result = read(case, table, tmp_path)
    for number, arm in enumerate(ARMS[1:], start=1):
        one = result.effect("interpretability", arm)
        assert one.log_odds.low < EFFECTS[number] < one.log_odds.high
    assert result.effect("interpretability", "distilled").p_holm < 0.05
    assert result.effect("load", "distilled").log_odds.estimate > 0
    assert result.effect("interpretability", "correct").delta.estimate > 0.2
    first = drawn.sheets.arm.iloc[0]
    people = result.people.set_index("arm")
    assert people.loc[first, ["asked", "returned", "kept"]].tolist() == [25, 25, 24]
    assert result.excluded[["missed", "checks"]].to_numpy().tolist() == [[2, 2]]
    assert result.missing == 2
    assert result.people.ratings.sum() == 99 * 6 * 4 - 2
    assert result.everyone
    assert result.counts[["1", "2", "3", "4", "5"]].to_numpy().sum() == 99 * 6 * 4 - 2
    assert all(not one.reason and one.sd["raters"] > 0.3 for one in result.conditional)
    assert 0 < result.alpha.estimate <= result.omega.high
    assert [row["rated"] for row in result.accuracy] == [12] * 4
    json.dumps(result.to_json(), allow_nan=False)
    said = shown(result)
    assert "clearly lower for distilled" in said
    assert "Left out for a missed attention check" in said
    assert repr(result).startswith("LikertResult(form-")


def test_several_files_in_any_order_of_columns_give_the_same_result(case, tmp_path):
    study, _, folder, table = case
    one = read(case, table, tmp_path)
    shuffled = table[list(table.columns[::-1])].assign(seconds="9")
    halves = np.array_split(np.random.default_rng(0).permutation(len(shuffled)), 2)
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, rows in zip(paths, halves, strict=True):
        shuffled.iloc[rows].to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    many = likert.read_ratings(study, paths, folder / "key.json")
    assert many.ignored_columns == ("seconds",)
    told, other = one.to_json(), many.to_json()
    for row, also in zip(told["effects"], other["effects"], strict=True):
        assert also["log_odds"]["estimate"] == pytest.approx(row["log_odds"]["estimate"])
    assert other["counts"] == told["counts"]


def row_of(table, **where):
    rows = np.flatnonzero(np.logical_and.reduce([table[name] == value for name, value in where.items()]))
    return int(rows[0])


def spoiled(table, how):
    """A filled table with one fault, and the row that holds it (the header is row 1)."""
    table = table.copy()
    other = table.participant.ne(table.participant.iloc[0])
    check = int(np.flatnonzero(table.check != "")[1])
    match how:
        case "scale":
            table.loc[5, "load"] = "6"
            return table, 7, "load is '6', and the scale is 1 to 5"
        case "word":
            table.loc[5, "predictability"] = "agree"
            return table, 7, "predictability is 'agree'"
        case "fraction":
            table.loc[5, "predictability"] = "4.0"
            return table, 7, "predictability is '4.0'"
        case "twice":
            table = pd.concat([table, table.iloc[[3]]], ignore_index=True)
            return (
                table,
                len(table) + 1,
                r"has rated the item '\w+' in .*row 5 already; a participant counts once",
            )
        case "item":
            table.loc[4, "item"] = "zzz"
            return table, 6, "the item 'zzz' is not in the key"
        case "foreign item":
            mine = set(table.item[~other])
            table.loc[0, "item"] = next(item for item in table.item[other] if item not in mine)
            return table, 2, "is on no page of the participant"
        case "participant":
            table.loc[2, "participant"] = "nobody"
            return table, 4, "the participant 'nobody' is not in the key"
        case "check":
            table.loc[check, "check"] = " "
            return table, check + 2, "has not answered the attention check of the item"
        case "check row":
            first = row_of(table, participant=table.participant[check])
            told = "has no row of the item '.*', which holds an attention check"
            return table.drop(index=check), first + 2 - (first > check), told
        case "consent":
            table.loc[9, "consent"] = ""
            return table, 11, "has not agreed to take part"
        case "form":
            table.loc[9, "form"] = "form-0"
            return table, 11, "the form is 'form-0', and the key's is"


@pytest.mark.parametrize(
    "how",
    [
        "scale", "word", "fraction", "twice", "item", "foreign item", "participant", "check", "check row",
        "consent", "form",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_by_row(case, tmp_path, how):
    table, row, said = spoiled(case[3], how)
    with pytest.raises(DataError, match=rf"ratings\.csv, row {row}: .*{said}"):
        read(case, table, tmp_path)


def test_a_participant_in_two_files_is_named_with_both_rows(case, tmp_path):
    study, _, folder, table = case
    table.to_csv(tmp_path / "all.csv", index=False)
    table.iloc[:6].to_csv(tmp_path / "again.csv", index=False)
    with pytest.raises(DataError, match=r"again\.csv, row 2: .* in .*all\.csv, row 2 already"):
        likert.read_ratings(study, [tmp_path / "all.csv", tmp_path / "again.csv"], folder / "key.json")


def test_an_arm_without_ratings_other_traces_or_another_key_are_refused(case, tmp_path):
    study, drawn, folder, table = case
    without = table[table.participant.isin(drawn.sheets.participant[drawn.sheets.arm != "correct"])]
    with pytest.raises(DataError, match="no participant of correct is left"):
        read(case, without, tmp_path)
    with pytest.raises(DataError, match="no row has a rating"):
        read(case, table.assign(**dict.fromkeys(STATEMENTS, "")), tmp_path)
    files.write_json(tmp_path / "key.json", {"format": 1})
    with pytest.raises(DataError, match=r"no key of format likert/1"):
        likert.read_ratings(study, [tmp_path / "ratings.csv"], tmp_path / "key.json")
    moved = shutil.copytree(study.path, tmp_path / "moved")
    shutil.copy(moved / "arms" / "base" / "traces.parquet", moved / "arms" / "correct" / "traces.parquet")
    other = type(study)(moved, study.settings)
    with pytest.raises(StudyError, match=r"is not the file that .* was drawn from"):
        likert.read_ratings(other, [tmp_path / "ratings.csv"], folder / "key.json")


def test_what_is_called_reasoning_does_not_hold_the_answer(study):
    """Who sees the answer in the reasoning cannot say whether it could have been foretold."""
    drawn = likert.draw_ratings(study, 6, arms=("base", "distilled"))
    shown = _shown(study, drawn)
    assert len(shown) == len(drawn.items)
    for one in shown.values():
        assert one.reasoning
        assert "</think>" not in one.reasoning
        assert "answer " not in one.reasoning


# --- page and report -----------------------------------------------------------------------------


def test_the_page_and_the_studys_report_say_what_people_made_of_it(case, tmp_path):
    study, _, _, table = case
    result = read(case, table, tmp_path)
    assert found(study) is None
    with pytest.raises(AnalysisError, match=r"mechcot likert draw .* mechcot likert import"):
        study.likert()
    path, page = write_result(study, result)
    assert study.likert().to_json() == json.loads(path.read_text())
    assert study.likert().to_frame().equals(result.to_frame())
    assert study.likert().figure().data
    assert found(study)["form"] == result.form
    text = page.read_text()
    colours = {ARM_COLOURS: arm_colours(study.settings)}
    assert text == render(json.loads(path.read_text()) | colours)
    for said in (
        "Do right answers and readable traces go together?",
        "clearly lower for distilled",
        "higher is worse",
    ):
        assert said in text
    assert "http://" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    findings = Findings(study.settings, {"likert": found(study)})
    (own,) = [one for one in registry.ANALYSES if one.name == "likert"]
    assert sections._shown(own, findings)
    assert not sections._shown(own, Findings(study.settings, {"likert": None}))
    parts = section(findings).parts
    assert [part.name for part in parts] == ["likert-interpretability", "likert-load", "likert-ratings"]
    assert "the most right answers" in parts[0].sentence
    figure = result.figure()
    assert [one.text for one in figure.layout.annotations[1:]] == list(ARMS)
    assert len({one.marker.symbol for one in figure.data if one.mode == "markers"}) == len(ARMS)
    traces = study.arm_path("base") / "traces.parquet"
    traces.write_bytes(traces.read_bytes() + b" ")
    assert found(study) is None  # other traces than those that were rated
    traces.write_bytes(traces.read_bytes()[:-1])
    assert found(study)


def test_two_arms_and_ratings_at_one_end_are_said_and_not_fitted(tmp_path):
    study = build(tmp_path / "s")
    drawn = likert.draw_ratings(study, 20, arms=ARMS[:2], each=4)
    folder = likert.write_forms(study, drawn, study.path / "likert")
    form = re.search(r'data-form="([^"]+)"', next((folder / "forms").glob("*.html")).read_text())[1]
    table = fill(drawn, form)
    late = table.participant.isin(drawn.sheets.participant[drawn.sheets.arm == "distilled"])
    table.loc[late, "predictability"] = "5"
    table["load"] = "2"
    table.to_csv(tmp_path / "r.csv", index=False)
    result = likert.read_ratings(study, [tmp_path / "r.csv"], folder / "key.json")
    alone = result.effect("predictability", "distilled")
    assert alone.log_odds.estimate is None
    assert "highest value in use" in alone.log_odds.reason
    assert alone.delta.estimate is not None
    assert "are one value" in result.effect("load", "distilled").log_odds.reason
    assert result.effect("interpretability", "distilled").log_odds.estimate is not None
    assert "not to be compared" in shown(result)
    render(json.loads(json.dumps(result.to_json())))


# --- a real browser ------------------------------------------------------------------------------

_KEYS = """
const page = () => [...document.querySelectorAll("article")].findIndex((one) => !one.hidden);
const seen = [];
press("3");  // before consent nothing is rated
seen.push(page(), document.getElementById("items").hidden);
document.getElementById("agree").click();
press("Enter");  // nothing is answered yet: it stays, and marks what is open
seen.push(page(), document.querySelectorAll("fieldset.open").length);
for (let n = 0; n < PAGES; n += 1) {
  const lines = [...document.querySelectorAll("article:not([hidden]) fieldset")];
  for (const line of lines) {
    const check = line.dataset.scale === "check";
    press(check ? line.textContent.match(/choose (\\d)/)[1] : String(1 + n % 5));
  }
  if (n === 0) { press("ArrowUp"); press("ArrowUp"); press("2"); }  // change one's mind
  if (n === 1) { press("ArrowLeft"); seen.push(page()); press("ArrowRight"); }
  press("Enter");
  seen.push(page());
}
document.getElementById("export").click();
file.then((text) => {
  const raw = document.getElementById("raw").value;
  told({ seen, text, same: raw.replaceAll("\\r", "") === text.replaceAll("\\r", ""),
    count: document.getElementById("count").textContent, stored: localStorage.length });
});
"""


@needs_chromium
def test_a_form_is_filled_by_keyboard_exported_and_imported(case, tmp_path):
    """In a real browser; only the policy that forbids foreign scripts is taken off the copy."""
    study, drawn, folder, table = case
    participant = drawn.sheets.participant.iloc[0]
    page = (folder / "forms" / f"{participant}.html").read_text()
    found = played(page, _KEYS.replace("PAGES", "6"), tmp_path)
    lines = 4 + (drawn.sheets.check.iloc[0] > 0)
    assert found["seen"] == [0, True, 0, lines, 1, 0, 2, 3, 4, 5, -1]
    assert (found["count"], found["stored"], found["same"]) == ("6 of 6 rated", 1, True)
    (tmp_path / "own.csv").write_text(found["text"], newline="")
    others = table[table.participant != participant]
    others.to_csv(tmp_path / "others.csv", index=False)
    result = likert.read_ratings(study, [tmp_path / "own.csv", tmp_path / "others.csv"], folder / "key.json")
    assert result.people.kept.sum() == 100
    own = pd.read_csv(tmp_path / "own.csv")
    assert own.iloc[1][list(STATEMENTS)].tolist() == [2, 2, 2, 2]
    assert sorted(own.iloc[0][list(STATEMENTS)].tolist()) == [1, 1, 1, 2]
