import html
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot import plots, probe
from mechcot.analyses.answers import analysis as answers
from mechcot.analyses.answers.figures import vote_curves
from mechcot.analyses.arms import Arms
from mechcot.analyses.audit import analysis as audit
from mechcot.analyses.audit import certainty
from mechcot.analyses.commitment import analysis as commitment
from mechcot.analyses.gains import analysis as margins
from mechcot.analyses.hedge import analysis as hedge
from mechcot.analyses.knowledge import selected as knowledge
from mechcot.analyses.panel import analysis as panel
from mechcot.core.results import Pair
from mechcot.core.words import NBSP
from mechcot.report import figures as style
from mechcot.report.areas import Cell, Draws, heat_map, histogram
from mechcot.report.charts import Axis, Bar, Mark, Row, Span, auroc, row_chart
from mechcot.report.curves import Line, line_chart
from mechcot.report.plane import Spot, plane_chart

HOSTILE = "<img src=x onerror=alert(1)>"
ARMS = ("base", "distilled")
RELATIONS = ("find", "drug", "lab")


def tables(arm, seed, *, error, hedged, n_questions=40, n_traces=3):
    """A small made-up arm: traces, steps, verdicts, claims, forced answers, truth readings."""
    rng = np.random.default_rng(seed)
    traces, steps, forced, truth = [], [], [], []
    for q in range(n_questions):
        for cid in range(n_traces):
            key = {"qid": f"q{q:02d}", "arm": arm, "cid": cid}
            answer = int(rng.integers(0, 3))
            traces.append({**key, "answer": answer, "finish_reason": "stop"})
            for sid, relation in enumerate(RELATIONS):
                wrong = rng.random() < error * (1 + sid) / 2
                steps.append(
                    {
                        **key, "sid": sid, "role": relation if sid else HOSTILE, "relation": relation,
                        "n_words": 5,
                        "states_answer": False, "hedged": bool(rng.random() < hedged), "instrument": "exact",
                        "label": "erroneous" if wrong else "correct", "text": f"claim {q} {cid} {sid}",
                        "tok_start": 3 * sid, "tok_end": 3 * sid + 3, "tok_object": 3 * sid + 1,
                    }
                )  # fmt: skip
                for reader in ARMS:
                    rank = int(rng.integers(1, 4))
                    truth.append(
                        {**key, "sid": sid, "reader": reader, "rank_truth": rank, "p_truth": 1 / rank}
                    )
            for reader in ARMS:
                for k in range(len(RELATIONS) + 1):
                    p = rng.dirichlet(np.where(np.arange(3) == answer, 3.0 + k, 1.0))
                    forced.append(
                        {
                            **key, "k": k, "reader": reader, "lead_in": 0, "permutation": 0, "layer": -1,
                            "p": p, "raw_mass": 0.6,
                        }
                    )  # fmt: skip
    return {
        "traces": pd.DataFrame(traces),
        "steps": pd.DataFrame(steps),
        "forced": pd.DataFrame(forced),
        "truth": pd.DataFrame(truth),
    }


@pytest.fixture(scope="module")
def study():
    return {
        "base": tables("base", 0, error=0.2, hedged=0.4),
        "distilled": tables("distilled", 1, error=0.5, hedged=0.0),
    }


@pytest.fixture(scope="module")
def results(study):
    """Every analysis run for real on the made-up study, as the JSON that figures are drawn from."""
    rng = np.random.default_rng(3)
    names = [f"q{q:02d}" for q in range(40)]
    questions = pd.DataFrame(
        {"qid": names, "stem": names, "options": [["a", "b", "c"]] * 40, "gold": 0, "group": names}
    )
    verdict_columns = ["qid", "arm", "cid", "sid", "instrument", "label"]
    parts = []
    for arm in ARMS:
        steps = study[arm]["steps"]
        parts += [study[arm]["traces"], steps.drop(columns="label"), steps[verdict_columns]]
    cells, reports = {}, {}
    X = {arm: {layer: rng.normal(size=(360, 8)) for layer in range(3)} for arm in ARMS}
    for arm in ARMS:
        own = study[arm]
        for reader in ARMS:
            forced = own["forced"][own["forced"]["reader"] == reader]
            cells[arm, reader] = commitment.curves(forced, own["traces"], own["steps"], own["steps"])
        table = probe.step_table(own["steps"].drop(columns="label"), own["steps"][verdict_columns], questions)
        settings = probe.FitSettings(draws=50, null_draws=5)
        reports[arm] = probe.fit_data(probe.Data.from_table(X[arm], table), settings).to_json()
    fitted = hedge.direction(X["base"], study["base"]["steps"], null_draws=10)
    distilled = study["distilled"]
    both = [distilled["truth"][distilled["truth"]["reader"] == reader] for reader in ARMS]
    return {
        "answers": answers.analyse(questions, parts[0], parts[3]).to_json(),
        "audit": audit.analyse(Arms(questions, *parts)).to_json(),
        "certainty": certainty.analyse(Arms(questions, *parts), draws=50).to_json(),
        "gains": margins.analyse(
            questions, Pair(parts[0], parts[3]), Pair(parts[2], parts[5]), null_draws=20
        ).to_json(),
        "panel": panel.analyse(
            questions,
            *(
                {"exact": own, HOSTILE: own.assign(label=own["label"].to_numpy()[::-1])}
                for own in parts[2::3]
            ),
        ).to_json(),
        "commitment": {arm: cells[arm, arm].to_json() for arm in ARMS},
        "cross": commitment.two_by_two(cells, before="base", after="distilled").to_json(),
        "hedge": fitted.to_json(),
        "projection": hedge.project(
            fitted, X["distilled"], distilled["steps"].drop(columns="label"), distilled["steps"]
        ).to_json(),
        "probe": reports,
        "knowledge": knowledge.table(
            *both, distilled["steps"].drop(columns="label"), distilled["steps"]
        ).to_json(),
    }


@pytest.fixture(scope="module")
def figures(results):
    bins = {
        arm: [{"confidence": c, "accuracy": c - 0.1, "n": 10}, {"confidence": 0.95, "accuracy": None, "n": 0}]
        for arm, c in zip(ARMS, (0.5, 0.8), strict=True)
    }
    return {
        "headline": plots.headline(results["answers"], results["audit"]),
        "kinds": plots.error_by_kind(results["audit"]),
        "split": plots.split(results["audit"]),
        "reliability": plots.reliability(bins, dict.fromkeys(ARMS, 0.1)),
        "curves": plots.commitment_curves(results["commitment"]),
        "curves by step": plots.commitment_curves(results["commitment"], by="step"),
        "2x2": plots.commitment_two_by_two(results["cross"]),
        "hedge": plots.hedge_by_layer(results["hedge"]),
        "projection": plots.hedge_by_layer(results["projection"]),
        "probe": plots.probe_bars(results["probe"]["distilled"]),
        "layers": plots.probe_by_layer(results["probe"]),
        "map": plots.probe_map(results["probe"]["distilled"]),
        "null": plots.probe_null(results["probe"]["distilled"]["nulls"]),
        "calibration": plots.probe_calibration(results["probe"]["distilled"]["metrics"]),
        "knowledge": plots.knowledge_bars(results["knowledge"]),
        "difference": plots.difference_forest(results["certainty"]),
        "judges": plots.judges(results["panel"]),
        "gains": plots.gains(results["gains"]),
        "transitions": plots.error_by_transition(results["gains"]),
    }


def texts(figure):
    """Every string of a figure that plotly would read as HTML."""
    found = []

    def walk(value):
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for key, part in value.items():
                if key != "meta":
                    walk(part)
        elif isinstance(value, list | tuple):
            for part in value:
                walk(part)

    walk(json.loads(figure.to_json()))
    return found


def test_every_figure_states_captions_and_leaves_the_width_to_the_page(figures):
    for name, figure in figures.items():
        title = figure.layout.title.text.replace("<br>", " ").replace("<b>", "").replace("</b>", "")
        assert html.unescape(title) == figure.layout.meta["statement"], name
        assert len(title) > 20, name
        assert figure.layout.width is None
        assert figure.layout.autosize
        assert figure.layout.height
        caption = figure.layout.annotations[0].text
        assert any(character.isdigit() for character in caption), f"{name}: no denominator in {caption}"
        assert len(figure.data) >= 1


def test_title_and_caption_lines_fit_a_phone(figures):
    for name, figure in figures.items():
        for line in figure.layout.title.text.replace("<b>", "").replace("</b>", "").split("<br>"):
            assert len(html.unescape(line)) <= 36, name
        for line in figure.layout.annotations[0].text.split("<br>"):
            assert len(html.unescape(line)) <= 60, name


def test_no_text_of_the_data_reaches_plotly_as_html(figures):
    for name, figure in figures.items():
        for text in texts(figure):
            assert "<img" not in text, name
    assert any("&lt;img" in text for text in texts(figures["kinds"]))


def test_an_arm_has_one_colour(figures):
    for name in ("headline", "kinds", "curves", "2x2", "layers", "reliability", "transitions"):
        by_arm = {}
        for trace in figures[name].data:
            for arm in ARMS:
                if trace.name and arm in trace.name:
                    by_arm.setdefault(arm, set()).add(trace.line.color or trace.marker.color)
        assert by_arm == {"base": {plots.BEFORE}, "distilled": {plots.AFTER}}, name


def each(value, n):
    """One value a point, of a trace that may have one for all."""
    return list(value) if isinstance(value, list | tuple) else [value] * n


def drawn_as(trace):
    """What tells a trace apart without its colour."""
    if trace.type in ("bar", "histogram"):
        return trace.marker.pattern.shape
    return (set(each(trace.marker.symbol, 1)) if "markers" in trace.mode else set(), trace.line.dash)


def test_what_is_in_a_legend_is_told_apart_without_its_colour(figures):
    for name, figure in figures.items():
        looks = {}
        for trace in figure.data:
            if trace.name and trace.type != "heatmap" and "fillcolor" not in trace:
                looks[trace.name] = str(drawn_as(trace))
        few = [look for called, look in looks.items() if called != style.FAINT]
        assert len(set(few)) == len(few), (name, looks)
    assert len(set(style.LOOKS.values())) == len(style.LOOKS)
    for part, there in zip(zip(*style.LOOKS.values(), strict=True), (99, 99, 8), strict=True):
        assert len(set(part)) >= min(there, len(part) - 1)  # plotly has eight patterns
    pale = style.look(style.tint(plots.BEFORE, 0.6))
    assert pale[1:] == style.look(plots.BEFORE)[1:]
    assert pale.symbol != style.look(plots.BEFORE).symbol


def test_a_dot_has_its_interval_or_says_why_it_has_none(figures):
    n = 0
    for name, figure in figures.items():
        bands = {trace.fillcolor for trace in figure.data if "fillcolor" in trace}
        for trace in figure.data:
            if trace.type != "scatter" or "markers" not in trace.mode or trace.marker.opacity == 0:
                continue
            ends = trace.error_x if trace.error_x.array is not None else trace.error_y
            said = each(trace.hovertemplate, len(trace.x))
            for i, (x, y) in enumerate(zip(trace.x, trace.y, strict=True)):
                text = f"{said[i]} {'' if trace.customdata is None else trace.customdata[i]}"
                seen = (ends.array is not None and ends.array[i] + ends.arrayminus[i] > 0) or style.tint(
                    trace.line.color or plots.NULL, 0.2
                ) in bands
                n += 1
                assert x is None or y is None or seen or "interval" in text, (name, trace.name, i, text)
    assert n > 100


def test_auroc_is_drawn_from_chance_on_or_from_where_an_interval_begins():
    above = auroc([{"estimate": 0.7, "low": 0.55, "high": 0.9}, None])
    assert (above.ends[0], above.null) == (0.5, 0.5)
    assert above.ends[1] > 0.9
    below = auroc([{"estimate": 0.7, "low": 0.42, "high": 0.9}])
    assert 0.38 < below.ends[0] < 0.42


def test_few_questions_are_grey_and_keep_the_arm_s_shape(results):
    broken = json.loads(json.dumps(results["audit"]))
    broken["strata"]["neither"]["n_questions"] = style.FEW - 1
    for name in ("both", "only_after", "only_before"):
        broken["strata"][name]["n_questions"] = style.FEW
    figure = plots.error_by_answers(broken)
    grey = [trace for trace in figure.data if trace.marker.color == style.tint(plots.NULL, 0.7)]
    assert [(list(trace.y), trace.marker.symbol) for trace in grey] == [
        ([3 + shift], style.look(colour).symbol)
        for shift, colour in ((-0.14, plots.BEFORE), (0.14, plots.AFTER))
    ]
    assert [trace.name for trace in grey if trace.name] == [style.FAINT]
    assert all(style.FAINT in text for trace in grey for text in trace.customdata)
    assert style.FAINT in figure.layout.meta["caption"]
    for part in broken["strata"].values():
        part["n_questions"] = 1
    legend = {trace.name for trace in plots.error_by_answers(broken).data if trace.name}
    assert legend == {*ARMS, style.FAINT}


def test_names_in_the_plane_do_not_cover_each_other():
    outline = np.array([[0.0, 1.0], [0.0, 1.0]])
    spots = [
        Spot(f"contrast {i}", 0.5 + 0.01 * i, 0.5, outline, plots.AFTER, "said", "split") for i in range(6)
    ]
    figure = plane_chart("a statement", "a caption", spots, Axis(), Axis())
    boxes = [
        (290 * (note.x + 0.06) / 1.12 + note.ax, 420 * (1.06 - note.y) / 1.12 + note.ay)
        for note in figure.layout.annotations[1:]
    ]
    for i, (x, y) in enumerate(boxes):
        assert all(abs(x - a) > 60 or abs(y - b) >= 14 for a, b in boxes[:i])
    assert [trace.name for trace in figure.data if trace.name] == ["split"]


def luminance(colour):
    channel = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channel]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#ffffff", "#14161a"])
def test_colours_stand_out_on_white_and_on_dark(ground):
    for colour, least in [
        *((colour, 2.9) for colour in style.ARMS),
        (plots.NULL, 3),
        (style.INK, 4),
    ]:
        light, dark = sorted([luminance(colour), luminance(ground)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, colour


def test_waterfall_ends_where_the_terms_end(figures, results):
    *terms, whole = figures["split"].data
    assert terms[-1].base[0] + terms[-1].x[0] == pytest.approx(whole.x[0])
    assert whole.x[0] == pytest.approx(results["audit"]["delta"]["estimate"])
    sizes = results["audit"]["resolutions"]
    finer = sizes["kind"] | {"within": sizes["kind"]["composition"], "composition": sizes["kind"]["within"]}
    drawn = plots.split(
        results["audit"] | {"cells": "kind x stratum", "resolutions": sizes | {"kind x stratum": finer}}
    )
    assert [term.x[0] for term in drawn.data[:2]] == pytest.approx([term.x[0] for term in terms[1::-1]])
    assert "kind × stratum" in drawn.layout.meta["caption"]


def test_gained_and_lost_are_the_results_and_stand_on_both_sides(figures, results):
    bars = {trace.name: sum(trace.x) for trace in figures["gains"].data if trace.type == "bar"}
    total = {key: sum(one[key] for one in results["gains"]["bins"]) for key in ("gained", "lost")}
    assert bars == pytest.approx({"gained": total["gained"], "lost": -total["lost"]})


def test_the_interval_of_independent_steps_is_drawn_in_grey(figures, results):
    naive = figures["difference"].data[2]
    assert naive.marker.color == plots.NULL
    half = 196 * results["certainty"]["independent_se"]
    assert (naive.error_x.array[0], naive.error_x.arrayminus[0]) == pytest.approx((half, half))


def test_knowledge_bars_fill_the_row(figures):
    row_sums = np.nansum([np.array(trace.x, dtype=float) for trace in figures["knowledge"].data], axis=0)
    assert row_sums == pytest.approx(np.ones(len(row_sums)))


def test_curves_end_on_the_plateau(figures, results):
    for arm, trace in zip(ARMS, [t for t in figures["curves"].data if t.name], strict=True):
        assert trace.y[-1] == pytest.approx(1 - results["commitment"][arm]["never_share"]["estimate"])


def test_missing_values_leave_gaps_and_not_errors(results):
    empty = {"value": None, "reason": "too few"}
    no_auroc = {"estimate": empty, "low": empty, "high": empty}
    rows = [{"layer": 0, "auroc": no_auroc, "shuffled": None, "random": None}]
    figure = plots.hedge_by_layer({**results["hedge"], "by_layer": rows})
    assert "Too few claims" in figure.layout.meta["statement"]
    broken = json.loads(json.dumps(results["audit"]))
    broken["roles"][0]["rate_before_interval"] = no_auroc
    assert plots.error_by_kind(broken).data[0].x[0] is None or None in plots.error_by_kind(broken).data[0].x


def test_leaves_are_read_in_all_their_forms():
    assert style.triple({"estimate": 0.5, "low": 0.4, "high": 0.6}) == (0.5, 0.4, 0.6)
    assert style.triple({"value": None, "reason": "none"}) == (None, None, None)
    assert style.triple(0.25) == (0.25, None, None)
    assert style.triple(None) == (None, None, None)


def test_escape_and_wrap():
    assert style.esc("a < b & c") == "a &lt; b &amp; c"
    assert style.wrap("one two three", 7) == "one two<br>three"


def statement(figure):
    return figure.layout.meta["statement"].replace(NBSP, " ")


def test_statements_claim_no_more_than_the_intervals(results):
    cross = json.loads(json.dumps(results["cross"]))
    measure = cross["measures"]["mean_p_own"]
    measure["effect_text"] = {"estimate": 0.2, "low": 0.1, "high": 0.3}
    measure["effect_reader"] = {"estimate": 0.3, "low": -0.1, "high": 0.7}
    assert "what moves it is the text, +20.0 points" in statement(plots.commitment_two_by_two(cross))
    measure["effect_text"]["low"] = -0.01
    assert "Neither" in statement(plots.commitment_two_by_two(cross))
    fitted = json.loads(json.dumps(results["hedge"]))
    for row in fitted["by_layer"]:
        row["auroc"] = {"estimate": 0.6, "low": 0.55, "high": 0.65}
        row["random"] = {"low": 0.45, "high": 0.58, "p": 0.01, "draws": 10}
    assert "AUROC up to 0.60" in statement(plots.hedge_by_layer(fitted))
    for row in fitted["by_layer"]:
        row["random"]["high"] = 0.61
    assert "better than chance" in statement(plots.hedge_by_layer(fitted))
    moved = {**results["answers"], "delta_sc": {"estimate": 0.2, "low": 0.1, "high": 0.3}}
    assert "right answers up 20 points" in statement(plots.headline(moved, results["audit"]))
    moved["delta_sc"] = {"estimate": 0.2, "low": -0.1, "high": 0.3}
    assert "not clearly changed (+20 points)" in statement(plots.headline(moved, results["audit"]))


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("<>&\n\"'"), max_size=60)


@settings(deadline=None, max_examples=30)
@given(PLAIN, PLAIN, PLAIN)
def test_charts_escape_every_text(name, said, note):
    hostile = [f"{HOSTILE}{text}" for text in (name, said, note)]
    mark, bar = Mark(0.5, plots.AFTER, hostile[1], hostile[0]), Bar(0.2, plots.BEFORE, hostile[1], hostile[0])
    spans = [Span(0.1, 0.9, plots.AFTER, 5, hostile[1])]
    drawn = [
        row_chart(*hostile[:2], [Row(hostile[0], [mark], [bar], spans, hostile[2])], Axis(hostile[2])),
        row_chart(*hostile[:2], [Row(hostile[0], [mark])], Axis(), columns=[hostile[2]]),
        line_chart(*hostile[:2], [Line(hostile, [1, 2, 3], plots.AFTER, *hostile[:2])], Axis(), Axis(said)),
        line_chart(*hostile[:2], [Line([1], [1], plots.AFTER, hover=[hostile[1]])], Axis(), Axis()),
        histogram(*hostile[:2], [Draws([0.5], plots.NULL, hostile[0])], Axis(hostile[2]), 0.5, plots.AFTER),
        heat_map(
            *hostile[:2], hostile[:1], hostile[1:2], [[Cell(0.7, *hostile[1:])]], plots.AFTER, across=note
        ),
    ]
    for figure in drawn:
        for text in texts(figure):
            if not text.startswith(("system-ui", "%{")):
                assert "<" not in re.sub(r"</?b>|<br>|<extra></extra>", "", text), text


LEAVES = st.tuples(*[st.floats(-1, 1)] * 3).map(sorted) | st.none()


@settings(deadline=None, max_examples=30)
@given(st.lists(LEAVES, min_size=1, max_size=5), st.sampled_from(["", "arm"]), st.sampled_from([1, 100]))
def test_marks_stand_where_their_values_and_intervals_are(leaves, name, scale):
    values = [leaf and {"low": leaf[0], "estimate": leaf[1], "high": leaf[2]} for leaf in leaves]
    rows = [Row(f"row {i}", [Mark(value, plots.AFTER, "said", name)]) for i, value in enumerate(values)]
    figure = row_chart("a statement", "a caption", rows, Axis(scale=scale))
    seen = {
        y: (x and x - down, x, x and x + up)
        for trace in figure.data
        for x, y, down, up in zip(
            trace.x, trace.y, trace.error_x.arrayminus, trace.error_x.array, strict=True
        )
    }
    assert seen.keys() == set(range(len(leaves)))
    assert len(figure.data) == (1 if name else len(leaves))
    for i, leaf in enumerate(leaves):
        want = (None, None, None) if leaf is None else tuple(scale * end for end in leaf)
        if leaf is None or want[1] != 0:
            assert seen[i] == (want if leaf is None else pytest.approx(want))


def test_a_level_is_dashed_in_its_lines_colour_and_each_point_has_its_own_hover():
    one = Line([0, 1], [0.6, 0.7], plots.AFTER, hover=["first\nlow", "second"], dash="dot", level=0.65)
    figure = line_chart("a statement", "a caption", [one], Axis(), Axis(null=0.5))
    level, chance = figure.layout.shapes
    assert (level.y0, level.line.color, level.line.dash) == (0.65, plots.AFTER, "dash")
    assert (chance.y0, chance.line.color) == (0.5, plots.NULL)
    assert list(figure.data[0].customdata) == [
        "first<br>low<br>without an interval of its own",
        "second<br>without an interval of its own",
    ]
    assert (figure.data[0].hovertemplate, figure.data[0].line.dash) == ("%{customdata}<extra></extra>", "dot")


@pytest.mark.parametrize("n", [3, 12, 13, 60])
def test_a_heat_map_writes_values_or_a_scale_and_names_as_many_columns_as_fit(n):
    cells = [[Cell(0.5 + i / 200, f"{i}", f"cell {i}") for i in range(n)]]
    figure = heat_map("a statement", "a caption", ["row"], list(map(str, range(n))), cells, plots.AFTER)
    assert figure.data[0].showscale == (n > 12)
    assert (figure.data[0].text is None) == (n > 12)
    assert len(figure.layout.xaxis.ticktext) <= 12
    for place, name in zip(figure.layout.xaxis.tickvals, figure.layout.xaxis.ticktext, strict=True):
        assert name == str(place)


def test_rows_with_long_names_are_higher():
    short, long = (
        row_chart("a statement", "a caption", [Row(name, [Mark(0, plots.AFTER, "")])] * 3, Axis())
        for name in ("one line", "words and characters of the whole step, and of the question")
    )
    lines = long.layout.yaxis.ticktext[0].count("<br>") + 1
    assert lines >= 3
    assert long.layout.height - short.layout.height >= 3 * (15 * lines - 46)


def test_a_vote_is_of_whole_traces(results):
    figure = vote_curves(results["answers"])
    base = next(trace for trace in figure.data if trace.name == "base")
    assert list(base.x) == list(range(1, results["answers"]["before"]["k"] + 1))
    assert figure.layout.xaxis.dtick == 1


def test_columns_part_the_width_and_each_has_its_line_of_no_change():
    marks = [Mark({"estimate": 0.1 * i, "low": 0, "high": 1}, plots.AFTER, "") for i in range(3)]
    figure = row_chart("a statement", "a caption", [Row("row", marks)], Axis(null=0), columns="abc")
    axes = [figure.layout[name] for name in ("xaxis", "xaxis2", "xaxis3")]
    assert [axis.title.text for axis in axes] == list("abc")
    assert all(a.domain[1] < b.domain[0] for a, b in pairwise(axes))
    assert (axes[0].domain[0], axes[2].domain[1]) == pytest.approx((0, 1))
    assert [shape.xref for shape in figure.layout.shapes] == [trace.xaxis for trace in figure.data]


def test_analyses_ask_for_figures_by_what_is_in_them():
    for path in (Path(plots.__file__).parent / "analyses").rglob("*.py"):
        assert re.findall(r"go\.(?!Figure\b)\w+|\.(?:add|update)_\w+\(", path.read_text()) == [], path
