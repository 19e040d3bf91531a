"""How the report opens, and what it calls kinds of step."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from mechcot import Study, plots
from mechcot.analyses import opening
from mechcot.analyses.sections import findings_of, page_of
from mechcot.core.naming import worded
from mechcot.core.words import first_sentence, number, points
from mechcot.steps.of_study import task_of
from mechcot.tasks.organism.checker import KINDS, ROLES

UP = {"estimate": 0.2, "low": 0.1, "high": 0.3}
OPEN = {"estimate": 0.0, "low": -0.1, "high": 0.1}
DOWN = {"estimate": -0.2, "low": -0.3, "high": -0.1}


def test_the_report_says_who_answered_what_and_who_judged(study: Study) -> None:
    found = findings_of(study)
    told = opening.asked(study, found)
    plain = told.replace("\u00a0", " ")
    n, k = (study.summary()["answers"]["base"][name] for name in ("n_questions", "k"))
    assert plain.startswith(
        f"{n} questions of an invented world, {k} traces of each by base and distilled, each "
    )
    width = study.settings.organism.hidden_size
    assert f"a qwen3 model with {study.settings.organism.layers} layers and " in plain
    assert width**2 / 1e6 < float(plain.split(" layers and ")[1].split(" million")[0].replace(",", "")) < 2
    assert plain.endswith("weights; steps judged by the task’s exact checker.")
    page = study.report.read_text()
    assert f'<p class="asked">{told}</p>' in page
    first, rest = first_sentence(opening.follows(found))
    assert f'<p class="follows">{first}</p>' in page
    assert rest in page


def test_questions_have_one_name() -> None:
    def name(**given: str | None) -> str:
        told = {"set": None, "path": "", "revision": None, "split": "test"} | given
        return opening.questions_name(SimpleNamespace(questions=SimpleNamespace(**told)))

    assert opening.questions_name(SimpleNamespace(questions=None)) == "an invented world"
    assert name(path="data/exam.csv") == "exam.csv"
    assert (
        name(path="hub:me/exam", revision="0123456789abcdef")
        == "me/exam, split test at revision 0123456789ab"
    )
    assert name(path="hub:me/exam", set="exam") == "exam, split test"


@pytest.mark.parametrize(
    ("answers", "steps", "says"),
    [
        (UP, UP, "Answers got better and steps got worse: right answers do not vouch for the reasoning."),
        (UP, DOWN, "Answers and steps both got better."),
        (OPEN, UP, "Steps got worse; whether answers changed is open."),
        (OPEN, OPEN, "Whether answers or steps changed is open: both intervals hold 0."),
        ({"value": None, "reason": "one question"}, UP, "What changed is not known"),
        (OPEN, {"estimate": 0.0, "low": None, "high": None}, "What changed is not known"),
    ],
)
def test_the_sentence_says_what_the_intervals_exclude(answers, steps, says) -> None:
    told = opening.follows(_found(answers, steps, 0.5, {"value": None, "reason": "nothing judged"}))
    assert told.startswith(says)
    if says != "What changed is not known":
        assert told.endswith("in 90\u00a0% of the traces of a and in 20\u00a0% of those of b.")


NONE = {"estimate": {"value": None, "reason": "no clear gain"}, "low": None, "high": None}


def _found(answers, steps, *abstained, naming=NONE):
    claims = {"any_wrong": {"before": 0.2, "after": 0.9}}
    left = {when: {"abstain_rate": share} for when, share in zip(("before", "after"), abstained, strict=True)}
    votes = {"delta_sc": answers, "named": {"naming": naming}}
    results = {"answers": votes, "audit": {"delta": steps, "claims": claims, **left}}
    return SimpleNamespace(results=results, before="b", after="a")


def test_a_gain_that_is_mostly_naming_an_option_is_called_that_at_once() -> None:
    share = {"estimate": 0.81, "low": 0.68, "high": 0.94}
    told = opening.follows(_found(UP, UP, 0.0, 0.0, naming=share)).replace("\u00a0", " ")
    assert "Most of the gain in answers (81 %) is naming an option at all. A wrong claim" in told
    for less in (share | {"low": -0.1}, share | {"estimate": 0.4, "low": 0.2}, NONE):
        assert "Most of the gain" not in opening.follows(_found(UP, UP, 0.0, 0.0, naming=less))


def test_the_cards_hold_what_their_change_has_to_be_read_with(study: Study) -> None:
    claims, votes, steps = opening.cards(findings_of(study))
    answers, audit = study.answers().to_json(), study.audit().to_json()
    assert votes.more[0].startswith(f"where both name an option ({answers['named']['n_questions']} of ")
    assert votes.more[0].endswith(points(answers["named"]["delta_sc"]))
    clear = (number(answers["named"]["naming"]["low"]) or 0) > 0
    assert ("gain is naming an option" in votes.more[-1]) == clear
    assert steps.more[0].startswith(f"where both are right ({audit['both_correct']['n_questions']} of ")
    assert claims.difference.count("[") == 2
    assert claims.more[0].endswith(points(audit["claims"]["any_wrong"]["difference"]))
    page = study.report.read_text()
    assert all(line in page for card in (claims, votes, steps) for line in card.more)


def test_a_judge_that_decides_little_is_named_at_once() -> None:
    told = opening.follows(_found(OPEN, DOWN, 0.94, 0.4)).replace("\u00a0", " ")
    assert (
        "The judge decides few steps: it abstains on 94 % of the claims of b and 40 % of those of a" in told
    )
    assert "decides few" not in opening.follows(_found(OPEN, DOWN, 0.5, 0.0))


def test_kinds_of_step_are_named_in_words_and_nothing_else_is(study: Study) -> None:
    assert KINDS.keys() == set(ROLES)
    given = {
        "roles": [{"role": "rev", "choice": 1}],
        "kinds": [{"kind": "rev / head"}, {"kind": "position"}],
        "no_other": {"rev": 1, "find": 2},
        "choice": {"value": None, "reason": "rev"},
    }
    assert worded(given, KINDS) == {
        "roles": [{"role": KINDS["rev"], "choice": 1}],
        "kinds": [{"kind": f"{KINDS['rev']} / head"}, {"kind": "position"}],
        "no_other": {KINDS["rev"]: 1, KINDS["find"]: 2},
        "choice": {"value": None, "reason": "rev"},
    }
    assert worded(given, {}) == given
    assert task_of(study).role_names == KINDS
    found = study.audit()
    assert {role.role for role in found.roles} <= set(ROLES)  # the result holds codes, its figures say words
    assert study.probe("distilled").figure().data  # it was read back: what is not stored is not asked for
    for figure in (found.figure(), plots.error_by_kind(found), plots.error_by_kind(audit=study.audit())):
        said = figure.to_json().replace("<br>", " ")
        assert KINDS["find"] in said
        assert not any(f'"{role}<' in figure.to_json() for role in ROLES)
    page = study.report.read_text()
    figures = page.split('id="figures">')[1].split("</script>")[0]
    assert KINDS["rev"] in figures.replace("<br>", " ").replace("\\u003cbr\\u003e", " ")
    assert '"rev' not in figures
    json.loads(figures)


def test_the_report_links_to_pages_of_the_viewer_that_lie_beside_it(study: Study, tmp_path) -> None:
    assert "Every trace</a>" not in study.report.read_text()
    for part in study.path.iterdir():
        if part.name != "work":
            (tmp_path / part.name).symlink_to(part)
    (tmp_path / "all traces").mkdir()
    (tmp_path / "all traces" / "viewer.js").write_text("")
    other = Study.open(tmp_path)
    page = page_of(other, other.summary(), {})
    assert '<a href="all%20traces/index.html">Every trace</a>' in page
    qid = page.split('<p class="question"><span class="soft">')[1].split(", sample")[0]
    assert f'href="all%20traces/index.html#/t/base/{qid}/' in page
