"""What a figure of a page gives to take along: its numbers and its picture."""

from __future__ import annotations

import csv
import io

import pytest

from browser import chromium, needs_chromium
from mechcot import plots
from mechcot.report.charts import Axis, Mark, Row, row_chart
from mechcot.report.frame import drawn, template
from mechcot.report.parts import Part, Section, Table

HOSTILE = '=1+1 <b>"x"</b>'


def page() -> str:
    rows = [
        Row("kind, first", [Mark({"estimate": 0.2, "low": 0.1, "high": 0.4}, plots.AFTER, "hover", HOSTILE)]),
        Row("second", [Mark(0.3, plots.AFTER, "hover", HOSTILE)]),
    ]
    wide = Table("Wide", tuple("abcdefgh"), (("123456789" * 2,) * 8,))
    part = Part(
        "kinds",
        "Wrong steps are up.",
        row_chart("Wrong steps are up", "12 questions", rows, Axis()),
        tables=(wide,),
    )
    sections = [Section("changed", "What changed?", (part,), "", "")]
    return template("result.html").render(
        tab="t", kicker="k", title="T", verdict="v", cards=(), sections=sections, tables=(),
        colours={"before": plots.BEFORE, "after": plots.AFTER}, **drawn(sections),
    )  # fmt: skip


@needs_chromium
def test_a_figure_is_saved_as_numbers_and_as_a_picture_and_a_statement_has_an_address(tmp_path) -> None:
    (tmp_path / "page.html").write_text(page())
    (tmp_path / "profile").mkdir()
    with chromium(tmp_path / "profile") as tab:
        tab.open((tmp_path / "page.html").as_uri(), "document.querySelector('.plot .main-svg')")
        tab.js(
            "window.saved = []; URL.createObjectURL = (blob) => { saved.push(blob); return '#'; };"
            "HTMLAnchorElement.prototype.click = function () { saved.push(this.download); }"
        )
        tab.js("document.querySelector('[data-as=csv]').click()")
        tab.until("saved.length == 2")
        assert tab.js("saved[1]") == "kinds.csv"
        head, first, second = csv.reader(io.StringIO(tab.js("saved[0].text()").lstrip("\ufeff")))
        assert head == ["series", "x", "y", "low", "high"]
        assert first[0] == "'" + HOSTILE  # as text, and no formula
        assert [float(first[i]) for i in (1, 3, 4)] == pytest.approx([0.2, 0.1, 0.4])
        assert [first[2], second[1:3]] == ["kind, first", ["0.3", "second"]]
        assert tab.js("document.querySelector('.part').id") == "changed-kinds"
        tab.click(".plot")  # larger, by a click and by keys
        tab.until("large.open && large.querySelector('.held .main-svg')")
        held = "large.querySelector('.held')._fullLayout"
        small = "document.querySelector('.plot')._fullLayout"
        assert tab.js(f"{held}.width / {small}.width") > 1.15
        assert tab.js(f"{held}.font.size / {small}.font.size") > 1.15
        assert tab.js("large.querySelector('.sentence').textContent.trim()") == "Wrong steps are up."
        tab.press("Escape")
        tab.until("!large.open && !large.querySelector('.main-svg')")
        tab.js("document.querySelector('[data-as=large]').focus()")
        tab.press("Enter")
        tab.until("large.open && large.querySelector('.held .main-svg')")
        tab.press("Escape")
        tab.size(390, 800)
        tab.js("document.querySelector('details').open = true")
        tab.until("document.querySelector('.scroll.wide')")
        assert tab.js("getComputedStyle(document.querySelector('.scroll'), '::before').content") != "none"
        assert tab.js("document.querySelector('.scroll').tabIndex") == 0
        assert tab.problems == []
        assert tab.js("document.querySelector('.anchor').hash") == "#changed-kinds"


@needs_chromium
def test_a_picture_is_a_png_under_the_page_s_own_policy(tmp_path) -> None:
    (tmp_path / "page.html").write_text(page())
    (tmp_path / "profile").mkdir()
    with chromium(tmp_path / "profile") as tab:
        tab.open((tmp_path / "page.html").as_uri(), "document.querySelector('.plot .main-svg')")
        tab.js("window.saved = []; HTMLAnchorElement.prototype.click = function () { saved.push(this); }")
        tab.js("document.querySelector('[data-as=png]').click()")
        tab.until("saved.length == 1")
        assert tab.js("saved[0].download") == "kinds.png"
        size = tab.js(
            "new Promise((done) => { const i = new Image(); i.onload = () => done([i.width, i.height]);"
            " i.src = saved[0].href; })"
        )
        assert size[0] == 2 * tab.js("document.querySelector('.plot').clientWidth")
        assert tab.problems == []
