"""How sure is the audit, and which questions were gained: what the page says of them."""

import csv
import json
import shutil

import pytest

from mechcot import plots
from mechcot.analyses import sections, sheet
from mechcot.analyses.arms import Arms
from mechcot.analyses.audit import certainty
from mechcot.analyses.audit.certainty import certainty_of
from mechcot.analyses.audit.segments import segments_json
from mechcot.analyses.panel import analysis as panel
from mechcot.core import files, records
from mechcot.core.words import points
from mechcot.pipeline.report import write_report
from mechcot.report.parts import Findings
from mechcot.study.folder import Study
from report_cases import HOSTILE, VERSIONS, ordinary
from rewritten import as_written
from test_report_page import Page


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ordinary(tmp_path_factory)


@pytest.fixture(scope="module")
def page(study):
    return Page(study.report.read_text(encoding="utf-8"))


@pytest.fixture
def copied(study, tmp_path):
    shutil.copytree(study.path, tmp_path / "s")
    return Study.open(tmp_path / "s")


def part(section, name):
    """A part of a section: its sentence, reason and tables as one text."""
    own = next(one for one in section.parts if one.name == name)
    cells = [cell for table in own.tables for row in (*table.rows, (table.note,)) for cell in row]
    return spaced(" ".join([own.sentence, own.reason, *cells]))


def findings(study, **results):
    """A study's findings, some of its results given anew."""
    found = sections.findings_of(study)
    return Findings(found.settings, {**found.results, **results})


def sure(study, **results):
    return sections.section(findings(study, **results), "sure")


def spaced(text):
    return text.replace("\u00a0", " ")


def second_judge(study, name="second", *, every=3):
    """A judge who turns every third verdict round, as a file of verdicts for each arm."""
    turned = {"correct": "erroneous", "erroneous": "correct"}
    for arm in study.settings.arms:
        table = study.verdicts(arm)
        labels = [turned.get(v, v) if i % every == 0 else v for i, v in enumerate(table.label)]
        out = study.arm_path(arm) / "verdicts" / f"{name}.parquet"
        records.write_table(out, table.assign(instrument=name, label=labels), records.VERDICTS)


def judged_sheet(study, folder):
    """A sheet, filled with the exact checker's verdicts, and its result."""
    sheet.write_sheet(study, sheet.draw_steps(study, 80, repeat=6), folder)
    items = {item["item"]: item for item in files.read_json(folder / "key.json")["items"]}
    labels = {
        (row.qid, row.arm, row.cid, row.sid): row.label
        for arm in ("base", "distilled")
        for row in records.rows(study.verdicts(arm))
    }
    with open(folder / "sheet.csv", encoding="utf-8-sig", newline="") as source:
        rows = list(csv.DictReader(source))
    for row in rows:
        item = items[row["item"]]
        label = labels[item["qid"], item["arm"], item["cid"], item["sid"]]
        row["verdict"] = {"not_checkable": "no claim"}.get(label, label)
        row["guess"] = "unsure"
    with open(folder / "filled.csv", "w", encoding="utf-8", newline="") as sink:
        writer = csv.DictWriter(sink, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return sheet.read_sheet(study, folder / "filled.csv", folder / "key.json")


def test_the_tests_stand_under_the_arm_that_they_are_of(study, page):
    found, told = study.result("certainty"), spaced(page.said("sure"))
    assert f"as the one found ({spaced(points(found['step_weighted']))}) would turn up in " in told
    base, distilled = (found["clustering"][when] for when in ("before", "after"))
    assert base["icc"] != distilled["icc"]
    assert f"judged steps {base['n_steps']:,} {distilled['n_steps']:,}" in told
    assert f"(ICC) {base['icc']:.2f} {distilled['icc']:.2f}" in told
    weights = [found[name] for name in ("step_weighted", "question_weighted")]
    assert "p, signs of questions flipped " + " ".join(f"{one['p_value']:.4f}" for one in weights) in told
    assert "the judge would have to call right steps of distilled wrong more often" in told
    assert f"by {100 * found['tipping'][0]['difference']['estimate']:.1f} points if no step" in told
    assert "whatever those are" not in told  # the checker leaves nothing undecided


def test_the_change_in_other_units_and_the_cutting_are_the_results(study, page):
    told = spaced(page.said("sure"))
    words = study.result("scales")["scales"]["per_100_words"]
    assert f"per 100 words, wrong steps go from {words['before']:.2f} to {words['after']:.2f}" in told
    arms = study.result("segments")["arms"]
    assert f"steps per trace {arms['base']['steps_per_trace']:.2f}" in told
    assert set(arms) == set(study.settings.arms)
    asked = study.questions("clinical").qid
    assert arms["base"]["n_traces"] == study.traces("base").qid.isin(asked).sum()
    assert "steps made by the rule “line” 100.0 % 100.0 %" in told


def test_results_are_the_conveniences(study):
    for name, result in (
        ("certainty", study.certainty().to_json()),
        ("scales", study.scales().to_json()),
        ("gains", study.gains().to_json()),
        ("segments", segments_json(study)),
    ):
        assert json.loads(json.dumps(result)) == study.result(name)


def test_gained_questions_are_told_by_their_contrast(study, page):
    found = study.result("gains")
    told = spaced(page.said("gains"))
    assert f"votes of {found['half']} of {found['k']} traces" in told
    assert spaced(points(found["transitions"]["gained"]["change"])) in told
    for low, high, rise, words in (
        (0.1, 0.3, 0.4, "They are: steps of questions gained moved towards error more"),
        (0.1, 0.3, -0.4, "No step error rose there"),
        (-0.3, -0.1, 0.4, "They are not: steps of questions gained"),
        (-0.1, 0.1, 0.4, "That cannot be told"),
    ):
        contrast = {**found["gained_minus_kept"], "estimate": (low + high) / 2, "low": low, "high": high}
        moved = json.loads(json.dumps(found["transitions"]))
        moved["gained"]["change"]["estimate"] = rise
        own = {**found, "gained_minus_kept": contrast, "transitions": moved}
        assert words in part(sections.section(findings(study, gains=own), "gains"), "joined")
    section = sections.section(
        findings(study, gains={"reason": "one trace per question cannot be halved"}), "gains"
    )
    assert section.parts[0].reason == "one trace per question cannot be halved"
    assert "exact McNemar test" in part(section, "calibration")
    assert section.limits == ""


def test_a_fall_is_explained_by_a_judge_stricter_with_the_arm_before(study):
    tables = [
        table(arm)[table(arm).qid.isin(study.questions("clinical").qid)]
        for arm in ("distilled", "base")
        for table in (study.traces, study.steps, study.verdicts)
    ]
    names = {"distilled": "base", "base": "distilled"}
    turned = [table.assign(arm=table.arm.map(names)) for table in tables]
    found = certainty.analyse(Arms(study.questions("clinical"), *turned), draws=50).to_json()
    told = part(sure(study, certainty=found), "tipping")
    assert "would have to call right steps of base wrong more often than right steps of distilled" in told
    assert f"by {-100 * found['step_weighted']['estimate']:.1f} points if no step is truly wrong" in told


def test_a_change_that_is_not_clear_is_not_explained_away(study):
    found = study.result("certainty")
    step = {**found["step_weighted"], "low": -0.1}
    assert "There is no clear change to explain away" in part(
        sure(study, certainty={**found, "step_weighted": step}), "tipping"
    )
    section = sure(study, certainty={"reason": "found none"})
    assert [one.reason for one in section.parts[:2]] == ["found none", "found none"]


def test_without_a_second_judge_or_people_the_page_says_how_to_get_them(page):
    told = page.said("undone")
    assert "One judge alone has judged these steps; mechcot judge STUDY --judge FILE adds one" in told
    assert "No sheet was filled; mechcot sheet draw STUDY makes one" in told


def test_a_panel_shows_every_judge_and_warns_of_kappa(copied):
    second_judge(copied)
    found = panel.panel_of(copied).to_json()
    told = part(sure(copied, panel=found), "judges")
    for when in ("before", "after"):
        assert f"{100 * found['judges']['second'][when]['estimate']:.1f} % of" in told
    raw = found["agreement"]["base"]["two"]["raw"]
    assert told.startswith("All 2 judges see wrong steps rise; where two of them")
    assert f"they say the same of {100 * raw['estimate']:.1f} % of base’s steps" in told
    assert f"base, right or wrong, all {found['agreement']['base']['two']['n_steps']:,}" in told
    assert "do not compare those of arms" in told
    found["judges"]["second"]["delta"].update(low=-0.1)
    assert "Of 2 judges, 1 sees wrong steps rise and 1 sees no clear change;" in part(
        sure(copied, panel=found), "judges"
    )


def test_the_study_s_own_judge_stands_first_whatever_its_name(copied):
    second_judge(copied, "a-third")
    found = json.loads(json.dumps(panel.panel_of(copied).to_json(), sort_keys=True))
    assert list(found["judges"]) == ["a-third", "exact"]
    own = next(one for one in sure(copied, panel=found).parts if one.name == "judges")
    assert [row[0] for row in own.tables[0].rows] == ["exact", "a-third"]
    assert own.figure.data[0].marker.color == plots.AFTER
    assert own.figure.data[0].customdata[0].startswith("exact: ")


def test_a_sheet_corrects_the_judge_until_the_verdicts_change(copied):
    result = judged_sheet(copied, copied.path / "sheet")
    sheet.write_result(copied, result)
    section = sure(copied)
    own = result.to_json()["judges"]["exact"]
    told = part(section, "people")
    assert f"the change of wrong steps is {spaced(points(own['design']['difference']))}" in told
    assert f"people alone {100 * result.people.before.estimate:.1f} %" in told
    assert "people, the same step twice 6" in told
    ways = next(one for one in section.parts if one.name == "ways")
    assert [trace.customdata[0].split(":")[0] for trace in ways.figure.data if trace.customdata] == [
        "every step weighs the same", "every question weighs the same", "corrected by people",
        "people alone", "if steps were independent",
    ]  # fmt: skip
    second_judge(copied)
    assert "People judged 80 steps" in part(sure(copied), "people")  # another judge changes nothing of this
    second_judge(copied, "exact")
    assert "was read against other steps or verdicts; import it again" in part(sure(copied), "people")


def test_undecided_steps_are_bounded(copied):
    for arm in ("base", "distilled"):
        table = copied.verdicts(arm)
        labels = ["abstain" if i % 5 == 0 and v != "not_checkable" else v for i, v in enumerate(table.label)]
        path = copied.arm_path(arm) / "verdicts" / "exact.parquet"
        records.write_table(path, table.assign(label=labels), records.VERDICTS)
    found = certainty_of(copied).to_json()
    section = sure(copied, certainty=found)
    ends = found["abstention"]["difference"]
    between = " to ".join(spaced(points(ends[name])) for name in ("low", "high"))
    told = part(section, "ways").split("wrong steps, whatever those are")[1]
    assert between in told.split("the same with chance")[0]
    figure = next(one for one in section.parts if one.name == "ways").figure
    drawn = [trace.x for trace in figure.data if trace.mode == "lines+markers"]
    assert drawn[1] == pytest.approx([100 * ends["low"], 100 * ends["high"]])


def test_names_of_judges_are_text(copied):
    second_judge(copied)
    sheet.write_result(copied, judged_sheet(copied, copied.path / "sheet"))
    name = HOSTILE[0]
    for result in ("panel", "sheet"):
        found = panel.panel_of(copied).to_json() if result == "panel" else copied.result("sheet")
        text = json.dumps(found).replace('"second"', json.dumps(name))
        files.write_json(copied.path / "results" / f"{result}.json", json.loads(text))
        as_written(copied.path)
    write_report(copied, VERSIONS)
    page = Page(copied.report.read_text(encoding="utf-8"))
    assert len(page.scripts) == 3
    assert page.said("sure").count(name) >= 6
    assert "&lt;script&gt;" in json.dumps(json.loads(page.scripts[0])["judges"])
