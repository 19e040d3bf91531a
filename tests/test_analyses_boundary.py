"""Contrasts of several studies side by side."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import mechcot
from called import called
from mechcot import Study
from mechcot.analyses.arms import Arms
from mechcot.analyses.boundary.analysis import _codes, reads
from mechcot.core.config import resolve
from mechcot.core.errors import UsageError
from mechcot.core.results import Interval


def between(low, high):
    return Interval((low + high) / 2, low, high, 50, "")


@pytest.mark.parametrize(
    ("answers", "steps", "said"),
    [
        ((0.1, 0.2), (0.1, 0.2), "split"),
        ((0.1, 0.2), (-0.1, 0.04), "no split"),
        ((0.1, 0.2), (-0.1, -0.02), "no split"),
        ((0.1, 0.2), (-0.1, 0.06), "open"),  # not significant is not the same as small
        ((0.1, 0.2), (0.01, 0.04), "split"),  # a rise is a rise, small as it is
        ((-0.1, 0.2), (-0.1, 0.04), "open"),
        ((-0.1, 0.2), (0.1, 0.2), "open"),
        ((-0.2, 0.0), (0.1, 0.2), "answers do not rise"),
    ],
)
def test_what_a_contrast_reads(answers, steps, said):
    assert reads(between(*answers), between(*steps), 0.05) == said


def test_without_an_interval_it_is_open():
    assert reads(Interval(0.1, None, None, 3, "", "few"), between(0.1, 0.2), 0.05) == "open"


def test_a_study_gives_its_headline_and_its_controls_as_they_are_stored(study):
    found = mechcot.boundary([study])
    name = study.path.name
    assert [one.name for one in found.points] == [
        name,
        *(f"{name}: {one}" for one in study.settings.controls),
    ]
    stored = [(study.result("answers"), study.result("audit"))]
    controls = study.result("controls")
    stored += [(controls[one]["answers"], controls[one]["audit"]) for one in study.settings.controls]
    for point, (answers, audit) in zip(found.points, stored, strict=True):
        for own, leaf in ((point.answers, answers["delta_sc"]), (point.steps, audit["delta"])):
            told = [leaf[end] for end in ("estimate", "low", "high")]
            assert [own.estimate, own.low, own.high] == pytest.approx(told), point.name
        assert point.covariance[0] == pytest.approx(answers["delta_sc"]["se"] ** 2)
        assert point.covariance[1] == pytest.approx(audit["delta"]["se"] ** 2)
    head = found.points[0]
    assert head.coupling == study.result("coupling")["contrasts"]["headline"]["before"]["phi"]


def test_interactions_leave_equal_questions_out_of_both(study):
    found = {one.name.rpartition(": ")[2]: one for one in mechcot.boundary([study]).interactions}
    points = {one.name.rpartition(": ")[2]: one for one in mechcot.boundary([study]).points}
    head = points[study.path.name]
    terse, chain = found["terse"], found["chain"]
    assert (terse.n_shared, chain.n_shared) == (head.n_questions, 0)
    for name, one in found.items():
        assert one.steps.estimate == pytest.approx(points[name].steps.estimate - head.steps.estimate)
    # Apart, variances add; together, plain numbers of every question less one say the same.
    apart = np.hypot(points["chain"].covariance[1] ** 0.5, head.covariance[1] ** 0.5)
    assert chain.steps.se == pytest.approx(apart, rel=0.1)
    arms = [Arms.of(study, control) for control in (None, "terse")]
    left = []
    for q in range(len(arms[0].questions)):
        keep = np.arange(len(arms[0].questions)) != q
        change = [
            own.steps.after.erroneous()[keep].sum() / own.steps.after.judged()[keep].sum()
            - own.steps.before.erroneous()[keep].sum() / own.steps.before.judged()[keep].sum()
            for own in arms
        ]
        left.append(change[1] - change[0])
    n = len(left)
    assert terse.steps.se == pytest.approx(np.sqrt((n - 1) / n * ((left - np.mean(left)) ** 2).sum()))


def test_the_same_questions_in_two_studies_are_the_same(study, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(study.path, again)
    other = Study.open(again)
    found = mechcot.boundary([study, other])
    twin = next(one for one in found.interactions if one.name == "again")
    assert twin.n_shared == found.points[0].n_questions
    assert twin.steps.estimate == twin.answers.estimate == 0
    assert twin.steps.low is None  # no question differs
    with pytest.raises(UsageError, match=f"two studies are called '{study.path.name}'"):
        mechcot.boundary([study, study])
    smaller = resolve(
        base=study.settings.model_dump(mode="json"), overrides=("confirmatory.smallest.steps=.02",)
    )
    with pytest.raises(UsageError, match=r"is 0\.05 in .* and 0\.02 in again"):
        mechcot.boundary([study, Study(again, smaller)])
    with pytest.raises(UsageError, match="at least one study"):
        mechcot.boundary([])


def test_texts_are_told_by_their_words_and_options():
    one = pd.DataFrame({"qid": ["a", "b"], "stem": ["Who?", "Why?"], "options": [["x", "y"], ["x", "y"]]})
    two = pd.DataFrame({"qid": ["a", "c"], "stem": ["Why? ", "Who?"], "options": [["y", "x"], ["x", "z"]]})
    assert _codes([one, two]) == [[0, 1], [1, 2]]


def test_the_command_prints_and_draws(study, tmp_path):
    shown = called("boundary", study.path, "--figure", tmp_path / "b.html")
    assert shown.returncode == 0, shown.stderr
    assert f"{study.path.name}: chain (base -> distilled, 12 questions)" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100
    page = (tmp_path / "b.html").read_text()
    assert "change of wrong steps, points" in page
    told = json.loads(called("boundary", study.path, "--json").stdout)
    assert told == mechcot.boundary([study]).to_json()
    assert set(mechcot.boundary([study]).to_frame().columns) >= {"contrast", "steps_low", "reads"}
