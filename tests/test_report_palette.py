"""An arm has one colour and one shape: in figures of Python, in the report and in the viewer."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from mechcot import Study, plots
from mechcot.analyses.viewer.data import Data
from mechcot.core import config
from mechcot.report.figures import AFTER, ARMS, BEFORE, TEACHER, look
from mechcot.report.palette import OTHERS, arm_colours


def _settings(preset: str):
    return config.resolve(preset=preset)


def test_the_contrast_has_its_own_colours_a_teacher_is_green_and_no_two_arms_are_alike() -> None:
    settings = _settings("organism-all-arms")
    found = arm_colours(settings)
    assert (found["base"], found["distilled"], found["teacher"]) == (BEFORE, AFTER, TEACHER)
    assert found.keys() == settings.arms.keys()
    assert len(set(found.values())) == len(found) <= len(ARMS)
    small = arm_colours(_settings("organism-small"))
    assert {arm: found[arm] for arm in small} == small  # further arms behind move none


def _drawn(figure, name: str) -> set[str]:
    """The colours of what bears an arm's name, in the legend or on a row."""
    rows = dict(enumerate(figure.layout.yaxis.ticktext or ()))
    found = set()
    for trace in figure.data:
        places = list(trace.y) if trace.type == "bar" else []
        named = trace.name == name or any(rows.get(one, "").startswith(name) for one in places)
        if named:
            lines = trace.type == "scatter" and trace.mode == "lines"
            found.add(trace.line.color if lines else trace.marker.color)
    return found


def test_an_arm_has_its_colour_in_every_figure(study: Study) -> None:
    colours = arm_colours(study.settings)
    terse = colours["terse"]
    assert terse == OTHERS[0]
    assert _drawn(study.knowledge().figure(), "terse") == {terse}
    assert _drawn(study.audit("terse").figure(), "terse") == {terse}
    assert _drawn(study.answers("terse").figure(), "terse") == {terse}
    assert _drawn(plots.error_by_answers(study.audit("terse")), "terse") == {terse}
    assert _drawn(plots.error_by_transition(study.gains("terse")), "terse") == {terse}
    for arm in ("base", "distilled"):
        assert _drawn(study.commitment(arm).figure(), arm) == {colours[arm]}
        assert study.probe(arm).figure().data[0].marker.color == colours[arm]
    turned = plots.commitment_curves({arm: study.commitment(arm) for arm in ("distilled", "base")})
    assert {arm: _drawn(turned, arm) for arm in ("base", "distilled")} == {
        "base": {BEFORE},
        "distilled": {AFTER},
    }
    readers = {f"read by {arm}": study.commitment("distilled", arm) for arm in ("distilled", "base")}
    assert _drawn(plots.commitment_curves(readers), "read by base") == {BEFORE}


def test_the_report_and_the_viewer_have_the_same(study: Study) -> None:
    colours = arm_colours(study.settings)
    listed = {one["name"]: (one["colour"], one["shape"]) for one in Data.of(study).listing()["arms"]}
    assert listed == {arm: (colours[arm], look(colours[arm]).symbol) for arm in listed}
    assert "terse" in listed
    page = study.report.read_text(encoding="utf-8")
    figures = json.loads(page.split('id="figures">')[1].split("</script>")[0])
    rows = figures["known"]["layout"]["yaxis"]["ticktext"]
    shown = {
        rows[trace["y"][0]].split("<br>")[0]: trace["marker"]["color"]
        for trace in figures["known"]["data"]
        if trace["type"] == "bar"
    }
    assert shown == {arm: colours[arm] for arm in shown}
    assert "terse" in shown


@pytest.mark.parametrize("colour", ARMS)
def test_each_colour_has_a_shape_that_the_viewer_draws_too(colour: str) -> None:
    css = resources.files("mechcot.analyses.viewer").joinpath("viewer.css").read_text(encoding="utf-8")
    symbol = look(colour).symbol
    assert symbol == "square" or f".arm.{symbol}::before" in css
