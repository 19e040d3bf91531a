"""Every result that people are given shows itself as a figure, or says why not and what does."""

from __future__ import annotations

import importlib
import pkgutil
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pandas as pd
import pytest

import mechcot
from mechcot import Study
from mechcot.analyses.commitment.result import CommitmentComparison
from mechcot.analyses.displays import FIGURES, NO_FIGURE, TEXTS
from mechcot.analyses.registry import ANALYSES
from mechcot.core.errors import UsageError
from mechcot.core.offers import at
from mechcot.core.results import Interval, Result


def _classes(parent: type[Result] = Result) -> Iterator[type[Result]]:
    for child in parent.__subclasses__():
        yield from (child, *_classes(child))


@pytest.fixture(scope="module")
def results() -> dict[str, type[Result]]:
    """Every class of results of the package, by name."""
    for module in pkgutil.walk_packages(mechcot.__path__, "mechcot."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return {one.__name__: one for one in _classes() if one.__module__.startswith("mechcot.")}


def test_every_result_has_a_figure_or_a_reason_for_none(results: dict[str, type[Result]]) -> None:
    given = {get_type_hints(one.of, {"pd": pd, **_names(one.of)}).get("return") for one in ANALYSES}
    returned = {one.__name__ for one in given if isinstance(one, type) and issubclass(one, Result)}
    rows = {name for name, one in results.items() if one.table}
    assert len(returned) > 20
    assert (returned | rows) - FIGURES.keys() - NO_FIGURE.keys() == set()
    assert FIGURES.keys() & NO_FIGURE.keys() == set()
    assert (FIGURES.keys() | NO_FIGURE.keys() | TEXTS.keys()) - results.keys() == set()
    for place in (*FIGURES.values(), *TEXTS.values()):
        assert callable(at(place))


def _names(of: object) -> dict[str, object]:
    """What an annotation may name that is imported for types alone."""
    module = importlib.import_module(of.__module__)
    return {"Study": Study, "Any": object, **vars(module)}


def test_without_a_figure_it_is_said_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"Interval has no figure: it is a part of .* \.to_frame\(\)"):
        Interval(0.1, None, None, 3, "").figure()


def test_two_readings_compared_are_drawn(study: Study) -> None:
    base, distilled = study.commitment("base"), study.commitment("distilled")
    found = mechcot.commitment.compare(base, distilled)
    assert isinstance(found, CommitmentComparison)
    drawn = found.figure()
    told = {round(x, 9) for trace in drawn.data if trace.x is not None for x in trace.x if x is not None}
    assert round(100 * found.differences["agrees_at_prompt"].estimate, 9) in told
    assert round(100 * found.matched["mean_p_own"].estimate, 9) in told


def test_every_line_of_the_gallery_draws_and_says_what_it_shows_in_one_breath(study: Study) -> None:
    script = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "gallery.py"))
    page = (Path(__file__).parent.parent / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert script["PRELUDE"].format(study=script["SHOWN"]) in page
    for name, figure in script["figures_of"](study.path).items():
        assert figure.data, name
        assert len(figure.layout.meta["statement"]) <= 150, figure.layout.meta["statement"]
        assert f"`{script['FIGURES'][name][0]}` (" in page


def test_controls_are_a_result_as_the_others(study: Study) -> None:
    found = study.controls()
    assert found.to_json() == study.result("controls")
    assert found.to_frame().control.tolist() == list(study.settings.controls)
    assert {"right_answers_low", "wrong_steps_n"} <= set(found.to_frame())
    assert found.figure().data
    assert found.controls["terse"].figure().data
