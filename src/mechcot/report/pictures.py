"""Figures as pictures, for what runs no JavaScript: GitHub, a notebook turned into a page, a paper.

A browser draws them: the same plotly that draws the interactive figure, so the two cannot differ. Where no
Chrome or Chromium is, a line says so and figures stay as they are.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mechcot.core.errors import UsageError
from mechcot.core.files import whole, write_text
from mechcot.report.figures import widened
from mechcot.report.frame import PLOTLY, asset, embedded

if TYPE_CHECKING:
    import plotly.graph_objects as go

log = logging.getLogger("mechcot")

WIDTH = 680
"""Of a picture in pixels."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Programs that draw, by what they are called; the environment's BROWSER_PATH is taken in their place."""

_NONE = (
    "no Chrome or Chromium was found, so no pictures are drawn. Install one, or name it in the environment's "
    "BROWSER_PATH. A file that ends in .html and the report's PNG button do without"
)
_PATIENCE = 300  # seconds for one call of the browser, on a machine that does other things too

# Names inside an SVG are drawn at random: from the same numbers, so that the same figure is the same file.
_PAGE = """<!doctype html><meta charset="utf-8"><body>
<script>let seed = 1; Math.random = () => (seed = seed * 16807 % 2147483647) / 2147483647;</script>
<script>{plotly}</script>
<script type="application/json" id="figures">{figures}</script>
<script>(async () => {{
  const found = [];
  for (const {{ data, layout }} of JSON.parse(document.getElementById("figures").textContent)) {{
    const place = document.createElement("div");
    document.body.append(place);
    const fixed = {{ ...layout, autosize: false, width: {width} }};
    await Plotly.newPlot(place, data, fixed, {{ staticPlot: true }});
    const size = {{ format: "{form}", width: {width}, height: layout.height || 450, scale: {scale} }};
    found.push(await Plotly.toImage(place, size));
  }}
  const shown = document.createElement("pre");
  shown.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  document.body.replaceChildren(shown);
}})();</script></body>"""


def pictures(figures: Sequence[go.Figure], *, width: int = WIDTH) -> list[str] | None:
    """Figures as SVG, drawn by one start of a browser; the same figure gives the same text.

    Args:
        figures: of plotly.
        width: in pixels; the height is the figure's own.

    Returns:
        one SVG a figure; None, and a line in the log, where no browser is or where it fails.
    """
    try:
        return [unquote(one.partition(",")[2]) for one in _drawn(figures, width, "svg")]
    except UsageError as error:
        log.warning("figures: %s", error)
        return None


def save(figure: go.Figure, path: str | Path, *, width: int = WIDTH) -> Path:
    """Write a figure into a file: `.html` stays interactive, `.svg` and `.png` are drawn by a browser.

    Args:
        figure: of plotly.
        path: the file; its ending says what it shall be.
        width: of a picture in pixels; a PNG has twice as many.

    Raises:
        UsageError: another ending; or no Chrome or Chromium is there, or it fails.
    """
    path = Path(path)
    if path.suffix == ".html":
        write_text(path, figure.to_html(include_plotlyjs=True))
    elif path.suffix == ".svg":
        write_text(path, unquote(_drawn([figure], width, "svg")[0].partition(",")[2]))
    elif path.suffix == ".png":
        picture = base64.b64decode(_drawn([figure], width, "png")[0].partition(",")[2])
        with whole(path) as out:
            out.write(picture)
    else:
        raise UsageError(
            f"{path}: the ending of a figure's file is .html, .svg or .png. Other kinds: figure.write_image, "
            "with `pip install kaleido` and a Chrome"
        )
    return path


def _drawn(figures: Sequence[go.Figure], width: int, form: str) -> list[str]:
    """Figures as addresses that hold them (`data:...`), drawn by one start of a browser.

    Raises:
        UsageError: there is none, or it fails.
    """
    browser = _browser()
    if browser is None:
        raise UsageError(_NONE)
    told = embedded([json.loads(widened(figure, width).to_json()) for figure in figures])
    page = _PAGE.format(plotly=asset(PLOTLY), figures=told, width=width, form=form, scale=1 + (form == "png"))
    with tempfile.TemporaryDirectory(prefix="mechcot-") as name:
        folder = Path(name)
        (folder / "page.html").write_text(page, encoding="utf-8")
        try:
            shown = _dumped(browser, folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise UsageError(f"{browser} drew no pictures: {error}") from error
    found = re.search(r"<pre>(.*?)</pre>", shown, re.DOTALL)
    if found is None:
        raise UsageError(f"{browser} drew no pictures")
    drawn: list[str] = json.loads(base64.b64decode(found[1]))
    return drawn


def keep_pictures() -> None:
    """Keep a picture beside each figure that this notebook shows, for readers that run no JavaScript.

    It becomes plotly's default renderer of this process: notebooks that are open stay interactive, and what
    is saved can be seen on GitHub and after nbconvert. Where no browser is, a line says so.
    """
    import plotly.io as pio
    from plotly.io.base_renderers import PlotlyRenderer

    drawable = _browser() is not None
    if not drawable:
        log.warning("figures: %s", _NONE)

    class WithPicture(PlotlyRenderer):
        """The interactive figure and its picture."""

        def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, Any]:
            """What a cell's output holds."""
            import plotly.graph_objects as go

            drawn = pictures([go.Figure(fig_dict, skip_invalid=True)]) if drawable else None
            picture = {} if drawn is None else {"image/svg+xml": drawn[0]}
            return {**super().to_mimebundle(fig_dict), **picture}

    pio.renderers["mechcot"] = WithPicture()
    pio.renderers.default = "mechcot"


def _browser() -> str | None:
    named = os.environ.get("BROWSER_PATH")
    return next((found for name in ([named] if named else BROWSERS) if (found := shutil.which(name))), None)


def _dumped(browser: str, folder: Path) -> str:
    """The page as it is once its scripts have run."""
    command = [
        browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=600000", "--dump-dom",
        (folder / "page.html").as_uri(),
    ]  # fmt: skip
    if os.geteuid() == 0:  # Chrome refuses its sandbox to root
        command.insert(1, "--no-sandbox")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)
    return done.stdout
