"""A filled sheet read back: what it says where the truth is known, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from browser import needs_chromium, played
from mechcot.analyses.sheet import draw_steps, read_sheet, write_result, write_sheet
from mechcot.core.errors import DataError, StudyError
from mechcot.core.records import STEP_KEY
from sheet_cases import BIASED, EXACT, build

WORDS = {
    "correct": "correct",
    "erroneous": "erroneous",
    "abstain": "cannot tell",
    "not_checkable": "no claim",
}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A study, its true labels, and a folder with a sheet of 120 steps, 20 of them twice."""
    folder = tmp_path_factory.mktemp("import")
    study, truth = build(folder / "s", {"exact": EXACT, "llm": BIASED})
    return study, truth, write_sheet(study, draw_steps(study, 120, repeat=20), folder / "sheet")


def _filled(folder, truth, guess=lambda item: "", verdict=None):
    """The sheet's rows with the true verdicts, or those of a function of item and truth."""
    key = json.loads((folder / "key.json").read_text())
    items = {item["item"]: item for item in key["items"]}
    rows = list(csv.DictReader(io.StringIO((folder / "sheet.csv").read_text(encoding="utf-8-sig"))))
    for row in rows:
        item = items[row["item"]]
        label = truth[tuple(item[name] for name in STEP_KEY)]
        row["verdict"] = WORDS[verdict(item, label) if verdict else label]
        row["guess"] = guess(item)
    return rows


def _save(path, rows, separator=",", start=""):
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(rows[0]), delimiter=separator, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes((start + sink.getvalue()).encode())
    return path


def _read(case, rows, path, **form):
    study, _, folder = case
    return read_sheet(study, _save(path / "filled.csv", rows, **form), folder / "key.json")


def test_people_who_are_right_agree_with_the_exact_judge_and_correct_the_other(case, tmp_path):
    _, truth, folder = case
    result = _read(case, _filled(folder, truth), tmp_path)
    exact, llm = result.judges
    assert (exact.instrument, llm.instrument) == ("exact", "llm")
    for part in exact.agreement:
        assert (part.raw.estimate, part.kappa.estimate, part.ac1.estimate) == pytest.approx((1, 1, 1))
    assert exact.design.difference.estimate == pytest.approx(exact.design.naive)
    assert llm.agreement[0].raw.high < 1
    claims = truth[truth != "not_checkable"] == "erroneous"
    gap = claims.xs("distilled", level="arm").mean() - claims.xs("base", level="arm").mean()
    assert llm.design.naive < gap - 0.15
    for found in (llm.design, llm.prediction):
        assert found.difference.low < gap < found.difference.high
        assert abs(found.difference.estimate - gap) < abs(found.naive - gap)
    assert result.people.difference.estimate == pytest.approx(gap, abs=0.01)  # the strata are the truth
    assert result.retest.pairs[0].raw.estimate == pytest.approx(1)
    assert result.retest.pairs[0].n_steps == 20
    assert (result.n_answered, result.n_items, result.n_checked) == (140, 140, (60, 60))


def test_agreement_without_a_miss_is_said_to_be_what_was_seen_and_no_more(case, tmp_path):
    study, truth, folder = case
    rows = _filled(folder, truth)
    text = read_sheet(study, _save(tmp_path / "f.csv", rows), folder / "key.json").text()
    exact = next(line for line in text.splitlines() if line.startswith("exact, both arms, two labels"))
    assert exact.count("1.00*") == 2  # kappa and AC1
    assert "1.00 [0.9" in exact  # raw agreement is a share: Clopper and Pearson's
    assert text.count("not that there is nothing else") == 1
    assert "*" not in next(
        line for line in text.splitlines() if line.startswith("llm, both arms, two labels")
    )


def test_corrected_differences_have_no_bias_over_draws(tmp_path):
    """One study, many sheets: the mean of the corrected differences is the true one of its steps."""
    study, truth = build(tmp_path / "s", {"exact": BIASED})
    claims = truth[truth != "not_checkable"] == "erroneous"
    gap = claims.xs("distilled", level="arm").mean() - claims.xs("base", level="arm").mean()
    errors = {"design": [], "prediction": [], "people": []}
    for seed in range(12):
        folder = write_sheet(study, draw_steps(study, 160, repeat=0, seed=seed), tmp_path / f"{seed}")
        result = read_sheet(study, _save(folder / "filled.csv", _filled(folder, truth)), folder / "key.json")
        judge = result.judges[0]
        errors["design"].append(judge.design.difference.estimate - gap)
        errors["prediction"].append(judge.prediction.difference.estimate - gap)
        errors["people"].append(result.people.difference.estimate - gap)
    assert judge.design.naive < gap - 0.15
    for name, found in errors.items():
        assert abs(np.mean(found)) < 3 * np.std(found, ddof=1) / np.sqrt(len(found)) + 0.005, name
        assert np.std(found) < 0.12


def test_every_form_of_the_same_file_says_the_same(case, tmp_path):
    _, truth, folder = case
    rows = _filled(folder, truth)
    plain = _read(case, rows, tmp_path).to_json()
    numbers = {word: str(i) for i, word in enumerate(WORDS.values(), start=1)}
    turned = [dict(reversed(row.items())) for row in reversed(rows)]
    loud = [{**row, "verdict": f" {row['verdict'].upper().replace(' ', '_')} "} for row in rows]
    counted = [{**row, "verdict": numbers[row["verdict"]]} for row in rows]
    bare = [{k: row[k] for k in ("sheet", "item", "verdict")} for row in rows]
    titled = [{k.title(): v for k, v in row.items()} for row in rows]
    for other, form in (
        (turned, {"start": "\ufeff", "separator": ";"}),
        (loud, {"separator": "\t"}),
        (counted, {}),
        (bare, {}),
        (titled, {}),
    ):
        assert _read(case, other, tmp_path, **form).to_json() == plain
    noted = _read(case, [{**row, "my notes": "x", "": ""} for row in rows], tmp_path)
    assert noted.ignored_columns == ("my notes",)
    assert noted.to_json() | {"ignored_columns": []} == plain


def test_a_half_filled_sheet_counts_what_is_there(case, tmp_path):
    _, truth, folder = case
    rows = _filled(folder, truth)
    for row in rows[70:]:
        row["verdict"] = ""
    result = _read(case, rows[:100], tmp_path)
    assert (result.n_answered, result.n_absent, sum(result.n_checked)) == (70, 40, 70)
    assert result.retest is None
    weights = result.items[(result.items["first"] == "") & (result.items["label"] != "")]["weight"]
    # what is answered stands for all steps but those of cells without an answer
    assert weights.sum() == pytest.approx(len(truth) - sum(result.uncovered))
    assert "n_absent" in result.to_json()
    assert "40 items have no row" in result.text()
    only = _read(case, [{**rows[0], "verdict": "no claim"}], tmp_path)
    assert only.judges[0].design.difference.estimate is None
    assert "-" in only.text()


def test_steps_that_people_set_aside_are_counted_and_left_out(case, tmp_path):
    _, truth, folder = case

    def unsure(item, label):
        return "abstain" if label == "erroneous" and item["arm"] == "base" else label

    result = _read(case, _filled(folder, truth, verdict=unsure), tmp_path)
    base, distilled = result.judges[0].left_out
    assert base > 5
    assert distilled == 0
    assert result.people.before.estimate == 0
    assert f"People called {base} (base) and 0 (distilled) steps neither" in result.text()


@pytest.mark.parametrize(
    ("guess", "indices"),
    [
        (lambda item: "before" if item["arm"] == "base" else "after", (1, 1, 1)),
        (lambda item: "after" if item["arm"] == "base" else "before", (-1, -1, -1)),
        (lambda item: "after", (-1, 1, 0)),
        (lambda item: "unsure", (0, 0, 0)),
        (lambda item: "unsure" if item["sid"] % 2 else "before" if item["arm"] == "base" else "after", None),
    ],
)
def test_blinding_index(case, tmp_path, guess, indices):
    _, truth, folder = case
    found = _read(case, _filled(folder, truth, guess=guess), tmp_path).blinding
    values = (found.before.estimate, found.after.estimate, found.both.estimate)
    if indices is None:
        assert all(0 < value < 1 for value in values)
        assert values[2] == pytest.approx((values[0] + values[1]) / 2)
    else:
        assert values == pytest.approx(indices)


def test_no_guesses_give_no_index(case, tmp_path):
    result = _read(case, _filled(case[2], case[1]), tmp_path)
    assert result.blinding.both.estimate is None
    json.dumps(result.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[3].update(item="bbbbbb"), r"row 5: the item 'bbbbbb' is not on the sheet"),
        (lambda rows: rows[3].update(item=rows[0]["item"]), r"row 5: the item '.*' stands in row 2 already"),
        (lambda rows: rows[3].update(verdict="right"), r"row 5: the verdict 'right' is none of correct, "),
        (lambda rows: rows[3].update(verdict="5"), r"row 5: the verdict '5' is none of"),
        (
            lambda rows: rows[3].update(guess="base"),
            r"row 5: the guess 'base' is none of before, after, unsure",
        ),
        (lambda rows: rows[3].update(sheet="sheet-0"), r"row 5: the sheet is 'sheet-0', and the key's is"),
        (lambda rows: [row.pop("verdict") for row in rows], r"the columns \['verdict'\] are missing"),
        (lambda rows: [row.update(verdict="") for row in rows], r"no row has a verdict"),
        (
            lambda rows: [row.update({" Verdict": ""}) for row in rows],
            r"the column 'verdict' is there 2 times",
        ),
    ],
)
def test_an_edited_sheet_is_refused_by_row_and_value(case, tmp_path, change, says):
    rows = _filled(case[2], case[1])
    change(rows)
    with pytest.raises(DataError, match=says):
        _read(case, rows, tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "are missing"),
        ("sheet,item,verdict,comment\nx,y,1,gr\u00fcn\n".encode("latin-1"), "save it as 'CSV UTF-8'"),
        ("sheet,item,verdict\n".encode("utf-16"), "CSV UTF-8"),
        (b'sheet,item,verdict\n"x,y,1', "is not a readable CSV"),
        (b"sheet,item,verdict\nx,y,1,and more\n", "row 2: it has 4 cells, the header 3"),
    ],
)
def test_what_is_no_sheet_is_refused(case, tmp_path, content, says):
    study, _, folder = case
    (tmp_path / "filled.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_sheet(study, tmp_path / "filled.csv", folder / "key.json")


def test_another_key_an_edited_key_and_other_steps_are_refused(case, tmp_path):
    study, truth, folder = case
    filled = _save(tmp_path / "filled.csv", _filled(folder, truth))
    other = write_sheet(study, draw_steps(study, 120, repeat=20, seed=9), tmp_path / "other")
    with pytest.raises(DataError, match="and the key's is"):
        read_sheet(study, filled, other / "key.json")
    edited = tmp_path / "key.json"
    edited.write_text((folder / "key.json").read_text().replace('"erroneous"', '"correct"', 1))
    with pytest.raises(DataError, match="and the key's is"):
        read_sheet(study, filled, edited)
    with pytest.raises(DataError, match="cannot be read"):
        read_sheet(study, filled, tmp_path / "none.json")
    edited.write_text("{}")
    with pytest.raises(DataError, match="is no key of format 1"):
        read_sheet(study, filled, edited)
    changed, _ = build(tmp_path / "s", {"exact": EXACT}, texts=("another text",))
    with pytest.raises(StudyError, match=r"steps\.parquet is not the file that"):
        read_sheet(changed, filled, folder / "key.json")


def test_the_result_shows_itself_and_is_kept(case, tmp_path):
    study, truth, folder = case
    rows = _filled(folder, truth)
    rows[0]["comment"] = '<script>, "quoted"\nand a second line'
    result = _read(case, rows, tmp_path)
    assert result.to_frame()["estimate"].tolist()[-1] == "people alone"
    assert "<table" in result._repr_html_()
    assert "\n" not in repr(result)
    assert write_result(study, result) == study.path / "results" / "sheet.json"
    kept = study.result("sheet")
    assert kept["items"][0]["comment"] == rows[0]["comment"]
    assert kept["judges"]["llm"]["design"]["difference"]["low"] < 1


def test_draw_and_import_from_the_command_line(tmp_path):
    study, truth = build(tmp_path / "s", questions=20)

    def call(*arguments):
        command = [sys.executable, "-m", "mechcot", "sheet", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    dry = call("draw", study.path, "--steps", "60", "--repeat", "10", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "Difference that a sheet sees" in dry.stdout
    assert not (study.path / "sheet").exists()
    done = call("draw", study.path, "--steps", "60", "--repeat", "10")
    assert done.returncode == 0, done.stderr
    assert dry.stdout.partition("\nTime: seconds")[0] in done.stdout
    again = call("draw", study.path, "--steps", "60", "--repeat", "9")
    assert (again.returncode, "never overwritten" in again.stderr) == (1, True)
    filled = _save(tmp_path / "filled.csv", _filled(study.path / "sheet", truth))
    shown = call("import", study.path, filled)
    assert shown.returncode == 0, shown.stderr
    assert "exact, prediction-powered" in shown.stdout
    assert json.loads(call("import", study.path, filled, "--json").stdout) == study.result("sheet")


_KEYS = """
const current = () => document.querySelector("article:not([hidden])");
const at = [];
for (const key of ["1", "b", "ArrowRight", "2", "2", "Enter", "3", "u", "ArrowLeft", "4", "n"]) {
  press(key);
  at.push(current().querySelector(".number").textContent.split(" ")[0]);
}
const box = current().querySelector("textarea");
press("c");
const typing = document.activeElement === box;
box.value = 'says "so", 1\\nand more';
box.dispatchEvent(new Event("input", { bubbles: true }));
press("1", box);
press("Escape", box);
current().querySelector("[data-guess=after]").click();
document.getElementById("export").click();
file.then((text) => {
  const left = document.activeElement !== box, count = document.getElementById("count").textContent;
  told({ at, typing, left, count, text, stored: localStorage.length });
});
"""


@needs_chromium
def test_the_page_works_by_keyboard_and_its_export_is_read_back(case, tmp_path):
    """In a real browser; only the policy that forbids foreign scripts is taken off the copy."""
    study, _, folder = case
    page = (folder / "sheet.html").read_text()
    found = played(page, _KEYS, tmp_path)
    # 2 pressed twice takes the verdict back; N goes to the next one without a verdict
    assert found["at"] == ["1", "1", "2", "2", "2", "3", "3", "3", "2", "2", "4"]
    assert (found["typing"], found["left"], found["count"]) == (True, True, "3 of 140 judged")
    assert found["stored"] == 1
    (tmp_path / "filled.csv").write_text(found["text"], newline="")
    items = read_sheet(study, tmp_path / "filled.csv", folder / "key.json").items
    said = items[["label", "guess", "comment"]].head(4).to_numpy().tolist()
    assert said == [
        ["correct", "before", ""],
        ["not_checkable", "", ""],
        ["abstain", "unsure", ""],
        ["", "after", 'says "so", 1\nand more'],
    ]
