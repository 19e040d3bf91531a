import tomllib
from pathlib import Path

import pytest

from mechcot.core.errors import ConfigError
from mechcot.probe import ProbeSpec, load_spec
from mechcot.probe.spec import SHIPPED


def test_the_shipped_specifications_are_what_they_say():
    found = {path.stem: load_spec(path) for path in SHIPPED.glob("*.yaml")}
    assert {spec.label for spec in found.values()} == {"step_error", "answer_correct", "hedged"}
    assert all(spec.name == name for name, spec in found.items())
    assert found["step-error"] == ProbeSpec()  # written out in full, it is the default


def test_a_shipped_specification_is_found_by_name_and_one_s_own_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_spec("hedged") == load_spec("hedged.yaml") == load_spec(SHIPPED / "hedged.yaml")
    Path("hedged.yaml").write_text("name: mine")
    assert load_spec("hedged.yaml").name == "mine"
    assert load_spec("hedged").name == "hedged"
    for given in ("hedge", "probes/hedged.yaml"):
        with pytest.raises(
            ConfigError, match=f"^{given}: cannot be read.* answer-correct, hedged, step-error"
        ):
            load_spec(given)


def test_the_wheel_holds_the_specifications():
    root = Path(__file__).parent.parent
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    held = {path for pattern in patterns["mechcot"] for path in (root / "src" / "mechcot").glob(pattern)}
    assert set((root / "src" / "mechcot" / "probe" / "specs").iterdir()) <= held


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("layer: 3", "'layer' is no key of a specification; there are: name, label"),
        ("label: wrong", "label: Input should be 'step_error'"),
        ("name: ../x", "name: '../x' cannot name a folder"),
        ("grid: [0]", "grid: every C must be above 0"),
        ("grid: []", "grid: "),
        ("folds: 1", "folds: "),
        ("label: hedged", r"rules \['end'\]: there the reader has read the hedge itself"),
        ("{label: hedged, rules: [decision], beside: [mean]}", r"rules \['mean'\]"),
        ("{label: answer_correct, instrument: exact}", "needs no verdicts"),
        ("- a", "expected keys and values"),
        ("name: a\nname: b", "line 2: the key 'name' stands there already"),
    ],
)
def test_a_specification_that_cannot_be_used_is_one_message(tmp_path, text, says):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as error:
        load_spec(path)
    assert str(path) in str(error.value)


def test_an_empty_file_is_the_default_and_penalties_are_sorted(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("")
    assert load_spec(path) == ProbeSpec()
    assert ProbeSpec(grid=(1.0, 0.1, 0.1)).grid == (0.1, 1.0)
