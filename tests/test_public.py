"""The names that people import: one list a door; each is there, says what it is, and loads little."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import mechcot
from mechcot import commitment, plots, probe

HEAVY = ("torch", "transformers", "plotly", "sklearn", "pandas")


def test_the_doors_list_what_people_call():
    assert mechcot.__all__ == [
        "MechcotError", "Study", "__version__", "boundary", "commitment", "foretell", "plan",
        "plots", "probe", "read", "run", "run_miniature", "steer",
    ]  # fmt: skip
    assert {"fit_report", "fit_data", "Data", "load_card", "save_card", "step_table"} <= set(probe.__all__)
    assert {"commitment_curves", "difference_forest", "probe_bars", "error_by_kind"} <= set(plots.__all__)


@pytest.mark.parametrize("door", [mechcot, commitment, probe, plots], ids=lambda door: door.__name__)
def test_every_public_name_is_there_and_says_what_it_is(door):
    assert set(door.__all__) <= set(dir(door))
    assert list(door.__all__) == sorted(door.__all__)
    for name in door.__all__:
        value = getattr(door, name)
        if callable(value) and not inspect.ismodule(value):
            assert (inspect.getdoc(value) or "").strip(), f"{door.__name__}.{name} says nothing"


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(AttributeError, match="'mechcot' has no attribute 'frobnicate'"):
        _ = mechcot.frobnicate


def test_importing_mechcot_loads_nothing_heavy():
    code = f"import sys, mechcot; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_analysis_is_hidden_by_a_method_of_a_study():
    from mechcot.analyses.registry import ANALYSES

    assert {one.name for one in ANALYSES} & set(vars(mechcot.Study)) == set()


def test_who_cites_cites_this_version() -> None:
    cited = yaml.safe_load((Path(__file__).parent.parent / "CITATION.cff").read_text())
    assert cited["version"] == mechcot.__version__
    assert {"cff-version", "message", "title", "authors", "license"} <= cited.keys()
