from dataclasses import dataclass

import pandas as pd

from mechcot import Study
from mechcot.core.results import Result


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
    for result in (study.answers(), study.audit(), study.commitment(), study.knowledge(), *study.hedge()):
        assert "<table" in result._repr_html_()
        assert "\n" not in repr(result)
