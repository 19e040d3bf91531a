"""Traces in a notebook: the viewer's page of one question, in a frame of its own."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pandas as pd

from mechcot.analyses.viewer.data import Data, whole_page
from mechcot.analyses.viewer.index import index_of
from mechcot.analyses.viewer.pairs import pair_frame
from mechcot.analyses.viewer.question import questions_of
from mechcot.core.errors import DataError
from mechcot.core.files import write_text
from mechcot.core.results import UNSTORED, Result

if TYPE_CHECKING:
    from mechcot.study.folder import Study


@dataclass(frozen=True)
class Shown:
    """A page that a notebook shows, and that `show` opens elsewhere.

    Attributes:
        html: the whole page, self-contained.
        told: what it shows, in words.
    """

    html: str = field(metadata=UNSTORED)
    told: str

    def __repr__(self) -> str:
        return f"<{self.told}; .show() opens it>"

    def _repr_html_(self) -> str:
        """A frame: the page's style and script stay inside, and it may load nothing."""
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="{escape(self.told)}" '
            'style="width: 100%; height: 640px; border: 1px solid #8888; border-radius: 8px"></iframe>'
        )

    def save(self, path: str | Path) -> Path:
        """Write the page into a file.

        Args:
            path: the file.
        """
        write_text(Path(path), self.html)
        return Path(path)

    def show(self) -> None:
        """Show it: in a notebook below the cell, elsewhere in the browser."""
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ModuleNotFoundError:
            notebook = False
        else:
            notebook = type(get_ipython()).__name__ == "ZMQInteractiveShell"
        if notebook:
            display(self)  # type: ignore[no-untyped-call]
            return
        webbrowser.open(self.save(Path(tempfile.mkdtemp(prefix="mechcot-")) / "trace.html").as_uri())


@dataclass(frozen=True, repr=False)
class Compared(Shown, Result):
    """Two traces of one question beside each other.

    Attributes:
        study: the study.
        qid: the question.
        sides: arm and sample of both.
    """

    study: Study = field(metadata=UNSTORED)
    qid: str
    sides: tuple[tuple[str, int], tuple[str, int]]

    table = "rows"
    derived = ("rows",)

    @property
    def rows(self) -> pd.DataFrame:
        """The alignment as a table, see `pair_frame`: which steps stand in one row, and their verdicts."""
        index = index_of(self.study)
        data = Data(self.study, index[index.qid == self.qid].reset_index(drop=True))
        (question,) = questions_of(self.study, data.files, data.index, [self.qid])
        return pair_frame(question, *self.sides)

    def __repr__(self) -> str:
        return f"<{self.told}; .show() opens it, .to_frame() is a table>"


def trace_shown(study: Study, qid: str, cid: int, arm: str) -> Shown:
    """One trace, as the viewer shows it.

    Raises:
        DataError: there is no such trace.
    """
    told = f"trace {cid} of {arm}, question {qid}"
    return Shown(_page(study, qid, [(arm, cid)], ("t", arm, qid, cid)), told)


def compared(
    study: Study, qid: str, cid: int = 0, *, before: str | None = None, after: str | None = None
) -> Compared:
    """Two models' traces of one question side by side, aligned by what they claim.

    Args:
        study: with steps and verdicts of both.
        qid: the question.
        cid: which of its samples.
        before: an arm; None: the contrast's arm before.
        after: likewise.

    Raises:
        DataError: one of the traces is not there.
        StudyError: there is no such arm.
    """
    contrast = study.settings.contrast
    left, right = before or contrast.before, after or contrast.after
    sides = ((left, cid), (right, cid))
    page = _page(study, qid, sides, ("c", qid, left, cid, right, cid))
    return Compared(page, f"{left} and {right} on question {qid}, sample {cid}", study, qid, sides)


def _page(study: Study, qid: str, traces: Sequence[tuple[str, int]], route: tuple[str | int, ...]) -> str:
    """The page of one question, with what it shows first."""
    index = index_of(study)
    own = index[index.qid == qid].reset_index(drop=True)
    there = set(zip(own.arm, own.cid, strict=True))
    for arm, cid in traces:
        study.arm_path(arm)  # says which arms there are
        if (arm, cid) not in there:
            raise DataError(f"arm {arm} has no trace {cid} of question '{qid}' with steps")
    start = "#/" + "/".join(quote(str(part), safe="") for part in route)
    return whole_page(Data(study, own), study.path.resolve().name, start)
