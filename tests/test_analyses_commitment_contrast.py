"""`mechcot commitment`: tables, page and numbers of a study; whose text and weights are compared."""

import html
import json
import shutil
from dataclasses import replace

import pytest

from called import called
from mechcot.analyses.commitment.analysis import commitment_of
from mechcot.analyses.commitment.contrast import contrast
from mechcot.analyses.commitment.contrast_page import render_contrast, typical
from mechcot.analyses.commitment.maps import trace_map
from mechcot.analyses.commitment.measures import LOCKS, MEASURES
from mechcot.core.errors import AnalysisError
from mechcot.study import Study


@pytest.fixture(scope="module")
def copied(study, tmp_path_factory):
    """A study that the command may write to."""
    folder = tmp_path_factory.mktemp("commitment") / "study"
    shutil.copytree(study.path, folder)
    return Study.open(folder)


def test_the_command_prints_every_measure_and_writes_page_and_numbers(copied):
    done = called("commitment", copied.path)
    assert done.returncode == 0, done.stderr
    for measure in MEASURES.values():
        assert f"\n{measure.short} " in done.stdout
    assert max(map(len, done.stdout.partition("\n\nPage")[0].splitlines())) <= 80
    folder = copied.path / "commitment" / "own"
    assert str(folder / "report.html") in done.stdout
    kept = json.loads((folder / "result.json").read_text())
    assert kept == json.loads(called("commitment", copied.path, "--json").stdout)
    own = commitment_of(copied, "base").to_json()
    assert kept["results"]["base"] == own
    page = (folder / "report.html").read_text()
    assert "http" not in page.partition("<script>")[0].replace("http-equiv", "")
    called("commitment", copied.path)
    assert (folder / "report.html").read_text() == page  # the same study, the same bytes
    assert "as they were written" in called("verify", copied.path).stdout


@pytest.mark.parametrize(
    ("arguments", "name", "columns"),
    [
        (["--author", "distilled"], "author-distilled", ["read by base", "read by distilled"]),
        (["--reader", "base", "--by", "token"], "reader-base", ["text of base", "text of distilled"]),
        (["--author", "base", "--reader", "distilled"], "base-by-distilled", ["base by distilled"]),
    ],
)
def test_what_is_not_fixed_varies_over_the_arms(arguments, name, columns, copied):
    done = called("commitment", copied.path, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["name"], list(found["results"])) == (name, columns)
    assert ("difference" in found) == (len(columns) == 2)
    assert (copied.path / "commitment" / name / "report.html").exists()


def test_what_is_not_there_is_refused_in_one_message(copied):
    for arguments, says in (
        (["--lead-in", "7"], "lead-in 7"),
        (["--by", "percent"], "expected one of step, share, token"),
        (["--author", "nobody"], "there is no arm 'nobody'"),
    ):
        done = called("commitment", copied.path, *arguments)
        assert done.returncode in (1, 2)
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_every_lock_has_a_chance_level_and_a_matched_version_beside_it(study):
    found = contrast(study)
    frame = found.to_frame().set_index("measure")
    assert list(frame.index) == list(MEASURES)
    assert frame.loc[list(LOCKS), ["base_chance", "distilled_chance"]].notna().all().all()
    assert frame.loc[["locked_at_prompt", "ever_agrees", "held_2", "never_share"], "matched"].notna().all()
    moved = frame["distilled"] - frame["base"]
    assert frame["difference"].dropna().to_numpy() == pytest.approx(
        moved[frame["difference"].notna()].to_numpy()
    )


def test_a_trace_map_shows_steps_and_escapes_what_a_model_wrote(study):
    found = commitment_of(study, "distilled")
    one = found.trace(*next(iter(typical(found).values())))
    hostile = one.prefixes.assign(text="<script>alert(1)</script> & </b>")
    said = {**one.to_json(), "prefixes": hostile.to_dict("records"), "options": ["<i>a</i>", "b", "c", "d"]}
    figure = trace_map(said).update_layout(meta=None)  # plain text, which the page escapes
    text = json.dumps(json.loads(figure.to_json()), ensure_ascii=False)
    assert "<script>" not in text
    assert "<i>" not in text
    heat = figure.data[0]
    assert len(heat.z) == len(one.options)
    assert list(heat.z[one.answer]) == pytest.approx(one.prefixes[f"p_{one.answer}"].tolist())
    assert html.escape("<script>alert(1)</script>", quote=False) in heat.customdata[0][1]
    assert one.figure().layout.meta["caption"].startswith(f"Question {one.qid}")


def test_hostile_texts_do_not_leave_the_page(study):
    found = contrast(study, "base", "base")
    ((name, result),) = found.results.items()
    hostile = "</script><script>alert(1)</script>"
    found.results[name] = replace(result, steps=lambda qid: result.steps(qid).assign(text=hostile))
    page = render_contrast(found)
    assert "alert(1)" in page
    assert "<script>alert(1)" not in page


def test_a_lead_in_that_was_not_read_is_told_by_the_study(study):
    with pytest.raises(AnalysisError, match="lead-in 3"):
        study.commitment(lead_in=3)
    assert study.commitment(by="token").curve["tokens"].is_monotonic_increasing
    assert study.commitment("base", "distilled", by="share").figure().data
