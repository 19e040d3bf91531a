from dataclasses import dataclass, field

import pandas as pd
import pytest

from mechcot import Study, plots
from mechcot.core.errors import UsageError
from mechcot.core.results import Interval, Pair, Paired, Result, because, frame_text, plain


@dataclass(frozen=True)
class _Result(Result):
    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"step": ["<script>x</script>"], "share": [0.123456]})

    def __repr__(self) -> str:
        return "<b>"


def test_a_result_shows_its_line_and_its_table_escaped() -> None:
    html = _Result()._repr_html_()
    assert "&lt;b&gt;" in html
    assert "&lt;script&gt;" in html
    assert "0.123<" in html


def test_the_studys_results_show_themselves(study: Study) -> None:
    for result in (study.answers(), study.audit(), study.commitment(), study.knowledge(), study.hedge()):
        assert "<table" in result._repr_html_()
        assert "\n" not in repr(result)


@dataclass(frozen=True)
class _Rates(Result):
    error: Paired
    abstain: Pair[float | None] = field(metadata=because("nothing was claimed"))


@dataclass(frozen=True)
class _Written:
    share: float

    def to_json(self) -> dict[str, float]:
        return {"rate": self.share}


def test_a_number_missing_in_one_arm_says_why_and_a_pair_with_its_difference_is_three_intervals() -> None:
    one = Interval(0.5, 0.25, 0.75, 4, "")
    rates = _Rates(Paired(one, one, one), Pair(None, 0.5))
    found = rates.to_json()
    assert found["abstain"] == {"before": {"value": None, "reason": "nothing was claimed"}, "after": 0.5}
    assert found["error"] == dict.fromkeys(("before", "after", "difference"), one.to_json())
    row = rates.to_frame().iloc[0]
    assert (row["error_difference_low"], row["error_before"], row["abstain_after"]) == (0.25, 0.5, 0.5)


def test_a_part_that_writes_itself_is_written_so() -> None:
    assert plain([_Written(0.5)]) == [{"rate": 0.5}]


def test_rows_that_a_result_does_not_have_are_named_beside_those_it_has(study: Study) -> None:
    result = study.commitment()
    with pytest.raises(UsageError, match=r"has no rows 'nonsense'; it has: "):
        result.to_frame("nonsense")
    with pytest.raises(UsageError, match="has no rows 'arm'; it has: one row, itself"):
        _Alone("base").to_frame("arm")


@dataclass(frozen=True)
class _Alone(Result):
    arm: str


def test_a_figure_takes_results_as_well_as_their_json(study: Study) -> None:
    found = study.commitment("base")
    drawn = plots.commitment_curves({"base": found})
    assert drawn == plots.commitment_curves({"base": found.to_json()})
    assert plots.gains(study.gains()) == plots.gains(study.gains().to_json())


def test_what_a_figure_does_not_find_is_named() -> None:
    with pytest.raises(UsageError, match=r"plots.patch_map finds no 'restored' in what it was given"):
        plots.patch_map({"share": 1.0})


def test_a_frame_on_a_terminal_has_one_column_for_an_interval_and_one_for_equal_counts() -> None:
    frame = pd.DataFrame(
        {"arm": ["base", "terse"], "known": [0.51234, 0.25], "known_low": [0.4, 0.2],
         "known_high": [0.6, 0.3], "known_n": [240, 81], "change": [None, -0.25],
         "change_low": [None, -0.5], "change_high": [None, 0.0], "change_n": [None, 81]}
    )  # fmt: skip
    assert frame_text(frame).split("\n") == [
        "arm               known           change    n",
        "base   0.512 [0.4, 0.6]                -  240",
        "terse   0.25 [0.2, 0.3]  -0.25 [-0.5, 0]   81",
    ]
    assert frame_text(frame.assign(change_n=[None, 80])).split("\n")[0].split()[-2:] == [
        "known_n",
        "change_n",
    ]
    assert frame_text(frame.iloc[:0]) == "nothing"
    bare = frame_text(pd.DataFrame({"estimate": [0.5], "low": [0.25], "high": [0.75], "n": [3]}))
    assert bare.split("\n")[1] == "0.5 [0.25, 0.75]  3"
