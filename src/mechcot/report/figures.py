"""The one visual language of all figures: colours, ground, captions, rows, intervals."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import plotly.graph_objects as go

from mechcot.core.words import NBSP, why

Json = Mapping[str, Any]

BEFORE, AFTER, TEACHER, NULL = "#5f7fb8", "#dd7a1e", "#2f9c72", "#8d9096"
"""Slate blue, orange, green and grey: apart for colour-blind readers, above 3:1 on white and on black."""
COLOURS = {"before": BEFORE, "after": AFTER}
"""Of the two arms."""
ARMS = (
    BEFORE, AFTER, TEACHER, "#a069b4", "#b58a0d", "#4f9aa8", "#b5606b", "#7f8f3a", "#96745a", "#6d6fd0",
)  # fmt: skip
"""Of arms: the contrast's two, a teacher, all others; which arm has which says `palette.arm_colours`."""
INK, RULE = "#767d88", "rgba(128,128,128,0.28)"
"""Text and rules in a grey that reads on white and on a dark page alike."""


class Look(NamedTuple):
    """What tells a colour apart where it cannot be seen: in print, in greyscale, by many eyes.

    Attributes:
        symbol: of its marks.
        dash: of its lines.
        pattern: on its bars.
    """

    symbol: str
    dash: str
    pattern: str


LOOKS = dict(
    zip(
        (*ARMS, NULL, INK),
        (
            Look("circle-open", "dash", "/"),
            Look("square", "solid", ""),
            Look("triangle-up", "dashdot", "x"),
            Look("triangle-down-open", "longdash", "\\"),
            Look("star", "longdashdot", "|"),
            Look("pentagon-open", "5px,2px", "+"),
            Look("hexagon", "9px,2px", "-"),
            Look("cross-open", "2px,2px", "/"),
            Look("bowtie", "12px,3px", "x"),
            Look("hourglass-open", "7px,2px,2px,2px", "+"),
            Look("x", "dot", "."),
            Look("diamond", "solid", "-"),
        ),
        strict=True,
    )
)
"""Shape, dash and pattern of every colour: an arm has one of each, as it has one colour."""
FEW = 10
"""Questions below which what is drawn of a part of them is greyed."""
FAINT = f"fewer than {FEW} questions"
"""The legend's entry of what is greyed."""

PALE, DARK = "#f1efec", "#1c2027"
"""The low end of a heat map and the text on its cells: opaque, so that both read on any page."""

_TITLE_WIDTH, _CAPTION_WIDTH = 36, 60
_TICKS = {"title": {"font": {"size": 12}}, "ticks": ""}
_LOOK = go.layout.Template(
    data={"bar": [{"marker": {"line": {"width": 0}}}]},  # an outline shows on a dark page
    layout={
        "autotypenumbers": "strict",
        # 100 % is written at the right end, and a dot at 0 leaves the names of rows alone
        "xaxis": _TICKS | {"tickfont": {"size": 11}, "ticklabeloverflow": "allow"},
        "yaxis": _TICKS | {"tickfont": {"size": 11.5}, "ticklabelstandoff": 6},
    },
)
"""What plotly sets where a figure sets nothing."""
T = TypeVar("T")
_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def esc(text: object) -> str:
    """Escape a text for plotly, which reads a subset of HTML in titles, ticks and hovers."""
    return html.escape(str(text), quote=False)


def esc_lines(text: str) -> str:
    """Escape a text line by line."""
    return "<br>".join(map(esc, text.split("\n")))


def wrap(text: str, width: int) -> str:
    """Escape a text and break it into lines of at most `width` characters."""
    return "<br>".join(esc(line) for line in textwrap.wrap(text, width)) or esc(text)


def triple(leaf: Any) -> tuple[float | None, float | None, float | None]:
    """Read estimate, low and high out of a leaf; what is missing is None."""
    if isinstance(leaf, Mapping):
        mid = leaf.get("estimate", leaf.get("value"))
        found = [mid, leaf.get("low"), leaf.get("high")]
    else:
        found = [leaf, None, None]
    low, mid_, high = found[1], found[0], found[2]
    return finite(mid_), finite(low), finite(high)


def finite(value: Any) -> float | None:
    """The number, or None for what is none (a missing leaf, NaN)."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def tint(colour: str, alpha: float) -> str:
    """A hex colour with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def look(colour: str) -> Look:
    """Shape, dash and pattern of a colour; of a tint of it the shape is open, with a dot."""
    if not colour.startswith("rgba("):
        return LOOKS.get(colour, Look("circle", "solid", ""))
    channels = colour.removeprefix("rgba(").split(",")[:3]
    full = look("#" + "".join(f"{int(one):02x}" for one in channels))
    return full._replace(symbol=full.symbol.removesuffix("-open") + "-open-dot")


def pattern(shape: str) -> dict[str, Any]:
    """A pattern over the colour of bars."""
    return {
        "shape": shape,
        "fillmode": "overlay",
        "fgcolor": "rgba(255,255,255,0.8)",
        "size": 7,
        "solidity": 0.25,
    }


def blank(title: str, caption: str, *, height: int = 320, left: int = 64, legend: int = 1) -> go.Figure:
    """Start a figure: title and caption in place, transparent ground, no fixed width.

    Args:
        title: the statement, plain text.
        caption: denominators and method, plain text; it stands under the x axis.
        height: of the plotting area in pixels.
        left: left margin in pixels, room for the row labels.
        legend: how many entries it has; they need room between title and plot.
    """
    said = wrap(caption.replace(" %", f"{NBSP}%"), _CAPTION_WIDTH)
    n_title, n_caption = (text.count("<br>") + 1 for text in (wrap(title, _TITLE_WIDTH), said))
    top, bottom = 20 * n_title + (50 + 19 * max(0, legend - 2) if legend else 28), 62 + 15 * n_caption
    figure = go.Figure()
    figure.layout.template = _LOOK
    figure.update_layout(
        title={
            "text": f"<b>{wrap(title, _TITLE_WIDTH)}</b>",
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 8, "t": 14},
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "font": {"size": 15},
        },
        font={"family": _FONT, "size": 12, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        autosize=True,
        height=height + top + bottom,
        margin={"l": left, "r": 16, "t": top, "b": bottom},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
        hoverlabel={"align": "left", "namelength": -1},
        meta={"statement": title, "caption": caption},
    )
    axis = {
        "gridcolor": RULE,
        "zerolinecolor": RULE,
        "linecolor": RULE,
        "title": {"standoff": 8},
        "automargin": False,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.add_annotation(
        text=said,
        xref="paper",
        x=0,
        xanchor="left",
        xshift=8 - left,
        yref="paper",
        y=0,
        yanchor="top",
        yshift=-54,
        showarrow=False,
        align="left",
        font={"size": 11},
    )
    return figure


def bare(figure: go.Figure) -> go.Figure:
    """A copy without title and caption, for a page that sets both as text.

    They stay readable in `layout.meta`; the room that they took is given back.
    """
    page = go.Figure(figure)
    old = page.layout.margin
    named = any(trace.name is not None and trace.showlegend is not False for trace in page.data)
    top, bottom = (34 if named else 10), 48
    page.layout.annotations = page.layout.annotations[1:]  # an update would keep what it does not name
    return page.update_layout(
        title=None,
        height=page.layout.height - (old.t - top) - (old.b - bottom),
        margin={"t": top, "b": bottom},
    )


def widened(figure: go.Figure, width: int) -> go.Figure:
    """A copy whose title and caption are broken into lines for a wide page; figures are broken for a phone.

    Args:
        figure: as `blank` begins one; another comes back as it is.
        width: in pixels.
    """
    page = go.Figure(figure)
    told, notes = page.layout.meta, page.layout.annotations
    if not isinstance(told, Mapping) or "statement" not in told or not notes:
        return page
    share = width / 390
    title = f"<b>{wrap(told['statement'], int(_TITLE_WIDTH * share))}</b>"
    caption = wrap(told["caption"].replace(" %", f"{NBSP}%"), int(_CAPTION_WIDTH * share))
    up = 20 * (page.layout.title.text.count("<br>") - title.count("<br>"))
    down = 15 * (notes[0].text.count("<br>") - caption.count("<br>"))
    old = page.layout.margin
    notes[0].text = caption
    return page.update_layout(
        title_text=title,
        height=page.layout.height - up - down,
        margin={"t": old.t - up, "b": old.b - down},
    )


def rows_margin(labels: Sequence[str]) -> int:
    """The left margin that row labels need, in pixels, at most 150."""
    longest = max((len(html.unescape(part)) for label in labels for part in label.split("<br>")), default=0)
    return min(150, 16 + int(6.6 * longest))


def whisker(
    mid: Sequence[float | None],
    low: Sequence[float | None],
    high: Sequence[float | None],
    colour: str | None = None,
) -> dict[str, Any]:
    """Interval ends as plotly's asymmetric error bars; a missing end has no whisker."""
    up = [0.0 if m is None or h is None else max(h - m, 0.0) for m, h in zip(mid, high, strict=True)]
    down = [0.0 if m is None or lo is None else max(m - lo, 0.0) for m, lo in zip(mid, low, strict=True)]
    tone = {} if colour is None else {"color": colour}
    return {
        "type": "data",
        "symmetric": False,
        "array": up,
        "arrayminus": down,
        "thickness": 1.4,
        "width": 4,
        **tone,
    }


def band(
    figure: go.Figure,
    x: Sequence[Any],
    low: Sequence[Any],
    high: Sequence[Any],
    colour: str,
    name: str = "",
) -> None:
    """Fill between two lines where both are known."""
    kept = [(a, lo, hi) for a, lo, hi in zip(x, low, high, strict=True) if lo is not None and hi is not None]
    if kept:
        xs, lows, highs = zip(*kept, strict=True)
        figure.add_scatter(
            x=[*xs, *reversed(xs)],
            y=[*highs, *reversed(lows)],
            mode="lines",
            fill="toself",
            fillcolor=tint(colour, 0.2),
            line={"width": 0},
            hoverinfo="skip",
            **entry(name),
        )


def rows_axis(figure: go.Figure, labels: Sequence[str]) -> None:
    """Put named rows on the y axis, the first on top."""
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )


def with_interval(part: Json, key: str) -> Any:
    """A number of a result with its own interval, or alone where an older result has none."""
    return part.get(f"{key}_interval", part[key])


def greyed(few: Iterable[bool]) -> str:
    """The caption's words for what is grey, where something is."""
    return f" Grey: {FAINT}." if any(few) else ""


def n_questions(n: int) -> str:
    """How many questions, in words."""
    return f"{n} question{'' if n == 1 else 's'}"


def numbers(values: Sequence[Any], scale: float = 1) -> tuple[list[float | None], ...]:
    """Estimates, lower ends and upper ends."""
    leaves = [[None if end is None else scale * end for end in triple(value)] for value in values]
    return tuple([leaf[i] for leaf in leaves] for i in range(3))


def entry(name: str) -> dict[str, Any]:
    """Its line in the legend; none without a name."""
    return {"name": esc(name)} if name else {"showlegend": False}


def marker(colours: Sequence[str], symbols: Sequence[str], size: int) -> dict[str, Any]:
    """Marks in their shapes; open ones have a line that is seen."""
    widths = [1.2 if "-open" in symbol else 0 for symbol in symbols]
    return {"size": size, "color": only(colours), "symbol": only(symbols), "line": {"width": only(widths)}}


def no_interval(value: Any) -> str:
    """Why no whisker stands at a dot; "" where one does, or no dot."""
    mid, low, high = triple(value)
    if mid is None or (low is not None and high is not None):
        return ""
    reason = why(value.get("low")) if isinstance(value, Mapping) else ""
    return f"no interval: {reason}" if reason not in ("", "not known") else "without an interval of its own"


def only(values: Sequence[T]) -> T | Sequence[T]:
    """The value where all are the same."""
    return values[0] if len(set(values)) == 1 else values
