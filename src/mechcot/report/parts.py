"""What the page is made of: sections of parts, a part being one sentence and one figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.core.words import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from mechcot.core.settings import Settings

__all__ = ["AUROC", "Findings", "Part", "Section", "Table", "finished", "nothing"]

AUROC = Markup(
    "<dfn>AUROC</dfn> says how often a score puts the right one of two claims higher: 0.5 is chance, 1 is "
    "always."
)
"""The term where a page first uses it."""


@dataclass(frozen=True)
class Part:
    """One statement of a section.

    Attributes:
        name: id of its figure on the page.
        sentence: what the numbers say, plain text; the title of the figure.
        figure: what shows it; None where there is nothing to draw.
        reason: why there is nothing, else "".
        tables: numbers in full; folded under a figure, and where they are long.
        mark: what kind of finding it is, in a small line above it; "" where there is nothing to say.
        undone: whether the reason is work that the study's author has not done: such parts stand together at
            the page's end.
    """

    name: str
    sentence: str
    figure: go.Figure | None = None
    reason: str = ""
    tables: tuple[Table, ...] = ()
    mark: str = ""
    undone: bool = False


@dataclass(frozen=True)
class Section:
    """One step of the page's argument.

    Attributes:
        name: its anchor.
        title: the question that it answers.
        parts: its statements.
        reading: how to read it, terms in plain words at first use; safe HTML, empty without a figure.
        limits: what it does not show; safe HTML, empty without a figure.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    reading: Markup
    limits: Markup


@dataclass(frozen=True)
class Findings:
    """All results of a study with the names that the page calls its arms by."""

    settings: Settings
    results: dict[str, Any]

    @property
    def before(self) -> str:
        """Name of the arm before."""
        return self.settings.contrast.before

    @property
    def after(self) -> str:
        """Name of the arm after."""
        return self.settings.contrast.after

    @property
    def asked(self) -> str:
        """What was asked: "clinical questions"."""
        domain = self.settings.contrast.domain
        return f"{domain} questions" if domain else "questions"

    @property
    def judge(self) -> str:
        """Who finds a step wrong, as the end of a sentence."""
        judge = self.settings.judge
        if judge.kind == "exact":
            return "the task's own exact checker looks its claim up and finds it false"
        if judge.kind == "llm":
            return "the judge, a language model, calls it erroneous"
        return "the table of verdicts that came with the study calls it erroneous"


def finished(sections: Iterable[Section]) -> tuple[tuple[Section, ...], tuple[Part, ...]]:
    """The sections without what their author has not done, and that; one of nothing else is left out."""
    kept, undone = [], []
    for section in sections:
        parts = tuple(part for part in section.parts if not part.undone)
        undone += [part for part in section.parts if part.undone]
        if parts or not section.parts:
            kept.append(replace(section, parts=parts))
    return tuple(kept), tuple(undone)


def nothing(name: str, title: str, sentence: str, reason: str) -> Section:
    """A section whose analysis has only a reason: nothing to explain, nothing to misread."""
    return Section(name, title, (Part(name, sentence, reason=reason),), Markup(), Markup())
