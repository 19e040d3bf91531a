"""Figures as pictures beside the interactive ones."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree

import plotly.io as pio
import pytest

from browser import needs_chromium
from mechcot import plots
from mechcot.core.errors import UsageError
from mechcot.report import pictures
from mechcot.report.charts import Axis, Mark, Row, row_chart

HOSTILE = "<script>alert(1)</script> & co"
FIGURE = row_chart(
    "Wrong steps are up", "12 questions", [Row(HOSTILE, [Mark((0.2), plots.AFTER, "hover")])], Axis("share")
)


@needs_chromium
def test_a_figure_is_one_and_the_same_svg_with_all_that_it_says() -> None:
    first, second = pictures.pictures([FIGURE, FIGURE])
    assert ElementTree.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"
    words = "".join(ElementTree.fromstring(first).itertext())
    assert "Wrong steps are up" in words
    assert "12 questions" in words
    assert "<script" not in first
    assert "alert(1)" in words  # as text
    assert plots.AFTER.removeprefix("#") in first or "rgb(221, 122, 30)" in first
    assert pictures.pictures([FIGURE]) == [first]
    assert len(second) == pytest.approx(len(first), rel=0.05)


@needs_chromium
def test_a_figure_is_kept_by_the_ending_of_its_file(tmp_path) -> None:
    saved = plots.save(FIGURE, tmp_path / "a.svg")
    assert saved.read_text() == pictures.pictures([FIGURE])[0]
    png = plots.save(FIGURE, str(tmp_path / "a.png"), width=400).read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == 800  # twice as many pixels as it is wide
    page = plots.save(FIGURE, tmp_path / "a.html").read_text()
    assert "Wrong steps are up" in page
    assert "<script>alert" not in page
    with pytest.raises(UsageError, match=r"a.pdf: the ending .* kaleido"):
        plots.save(FIGURE, tmp_path / "a.pdf")


@needs_chromium
def test_what_a_notebook_keeps_of_a_figure_is_interactive_and_a_picture(monkeypatch) -> None:
    monkeypatch.setattr(pio.renderers, "_default_name", pio.renderers._default_name)
    monkeypatch.setattr(pio.renderers, "_default_renderers", list(pio.renderers._default_renderers))
    plots.keep_pictures()
    kept = FIGURE._repr_mimebundle_(None, None)
    assert kept["application/vnd.plotly.v1+json"]["data"]
    assert kept["image/svg+xml"].startswith("<svg")
    assert "text/html" not in kept  # which would hold all of plotly


def test_without_a_browser_a_line_says_so(monkeypatch, caplog) -> None:
    monkeypatch.setattr(pictures, "BROWSERS", ())
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    with caplog.at_level(logging.WARNING, logger="mechcot"):
        assert pictures.pictures([FIGURE]) is None
    assert "no Chrome or Chromium was found" in caplog.text
    with pytest.raises(UsageError, match=r"no Chrome or Chromium was found.*html"):
        plots.save(FIGURE, "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(pio.renderers, "_default_name", pio.renderers._default_name)
        patch.setattr(pio.renderers, "_default_renderers", list(pio.renderers._default_renderers))
        plots.keep_pictures()
        assert set(FIGURE._repr_mimebundle_(None, None)) == {"application/vnd.plotly.v1+json"}
    monkeypatch.setenv("BROWSER_PATH", "false")
    assert pictures.pictures([FIGURE]) is None
    assert "false drew no pictures" in caplog.text
