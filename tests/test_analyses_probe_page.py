"""The page of a probe: self-contained, escaped, and true to its report."""

import html
import re

import numpy as np
import pandas as pd
import pytest

from mechcot import plots
from mechcot.analyses.probe.report_page import render_probe, write_probe
from mechcot.core.words import first_sentence
from mechcot.probe import Data, FitSettings, fit_data

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(1)
    n, kinds = 480, np.array([HOSTILE, "b", "c"])
    sid = np.tile(np.arange(6), 80)
    kind = rng.integers(0, 3, n)
    y = (rng.random(n) < np.array([0.2, 0.5, 0.8])[kind]).astype(int)
    X = rng.normal(size=(n, 10)) + 3 * (kind[:, None] == np.arange(10))
    confounds = pd.DataFrame({"sid": sid, "n_steps": 6, "kind": kinds[kind]})
    about = {"name": HOSTILE, "source": {"author": HOSTILE, "reader": "me"}, "dropped": {HOSTILE: 3}}
    data = Data(
        {("end", 0): X, ("mean", 1): X + rng.normal(size=X.shape)},
        y,
        np.repeat([f"q{i}" for i in range(40)], 12).tolist(),
        confounds,
        text=[f"{HOSTILE} {i}" for i in range(n)],
        subject=[f"{HOSTILE} {i // 30}" for i in range(n)],
    )
    return fit_data(data, FitSettings(draws=100, null_draws=30), about=about | {"meaning": HOSTILE})


@pytest.fixture(scope="module")
def page(report):
    return render_probe(report)


def test_the_page_needs_no_network_and_runs_no_text(page):
    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(src|href)=\"?(https?:)?//", outside)
    assert "default-src 'none'" in page
    assert page.count("<h1>") == 1


def test_the_page_says_the_verdict_and_every_number(report, page):
    for sentence in first_sentence(report.verdict):
        assert html.escape(sentence, quote=False).replace("'", "&#39;") in page
    for value in (report.auroc, report.baselines["stack"].auroc, report.within["position"]):
        assert f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]" in page
    held = report.subjects.auroc
    assert f"subjects of the test steps held out</td><td>{held.estimate:.3f} [{held.low:.3f}," in page
    assert "With subjects held out it was fitted" in page
    for name in ("beside", "map", "null", "calibration"):
        assert f'id="fig-{name}"' in page
    assert page.count("What this does not show") == 4


def test_equal_reports_give_equal_pages_and_the_folder_is_whole(report, page, tmp_path):
    write_probe(report, tmp_path)
    assert (tmp_path / "report.html").read_text() == page
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "card.json", "probe.safetensors", "report.html", "report.json"
    ]  # fmt: skip


def test_figures_show_the_report(report):
    found = report.to_json()
    bars = plots.probe_bars(found)
    assert bars.layout.meta["statement"] == first_sentence(report.verdict)[0]
    assert first_sentence(report.verdict)[1]
    drawn = {x for trace in bars.data for x in trace.x}
    assert drawn >= {report.auroc.estimate, report.mass_mean.estimate}
    cells = plots.probe_map(found).data[0]
    assert [list(row) for row in cells.z] == [
        [report.by_source["end", 0].estimate, None],
        [None, report.by_source["mean", 1].estimate],
    ]
    nulls = plots.probe_null(found["nulls"])
    assert [len(trace.x) for trace in nulls.data] == [
        len(null.values) for null in (report.nulls.redrawn, report.nulls.permuted) if null.values
    ]
    curve = plots.probe_calibration(found["metrics"]).data[1]
    assert list(curve.x) == [row.predicted for row in report.metrics.calibration]
