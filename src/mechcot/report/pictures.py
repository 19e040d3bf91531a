"""Figures as pictures (SVG), for what runs no JavaScript: GitHub, a notebook turned into a page, a paper.

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
    "figures: no Chrome or Chromium was found, so no pictures are drawn of them. Install one, or name it in "
    "the environment's BROWSER_PATH. figure.write_html(FILE) and the report's PNG button do without"
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
    const size = {{ format: "svg", width: {width}, height: layout.height || 450 }};
    const address = await Plotly.toImage(place, size);
    found.push(decodeURIComponent(address.slice(address.indexOf(",") + 1)));
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
        one SVG a figure; None, and a line in the log, where no browser is or where it fails. Other ways to
        keep a figure: docs/gallery.md.
    """
    browser = _browser()
    if browser is None:
        log.warning(_NONE)
        return None
    told = embedded([json.loads(widened(figure, width).to_json()) for figure in figures])
    page = _PAGE.format(plotly=asset(PLOTLY), figures=told, width=width)
    with tempfile.TemporaryDirectory(prefix="mechcot-") as name:
        folder = Path(name)
        (folder / "page.html").write_text(page, encoding="utf-8")
        try:
            shown = _dumped(browser, folder)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("figures: %s drew no pictures: %s", browser, error)
            return None
    found = re.search(r"<pre>(.*?)</pre>", shown, re.DOTALL)
    if found is None:
        log.warning("figures: %s drew no pictures", browser)
        return None
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
        log.warning(_NONE)

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
