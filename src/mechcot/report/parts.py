"""What the page is made of: sections of parts, a part being one sentence and one figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.core.naming import ARM_COLOURS
from mechcot.core.words import Table, first_sentence
from mechcot.report.palette import arm_colours

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from mechcot.core.settings import Settings

__all__ = ["AUROC", "Findings", "Part", "Section", "Table", "finished", "nothing"]

AUROC = Markup(
    "<dfn>AUROC</dfn> says how often a score puts the right one of two claims higher: 0.5 is chance, 1 is "
    "always."
)
"""The term where a page first uses it."""


UNASKED = "What could not be asked"
"""The box of what several parts of a page lack for one reason."""


@dataclass(frozen=True)
class Part:
    """One statement of a section.

    Attributes:
        name: id of its figure on the page.
        sentence: what the numbers say, plain text; its first sentence is read at once, the rest is folded.
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

    def coloured(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What a figure is drawn from, with the colours of the study's arms."""
        return {**told, ARM_COLOURS: arm_colours(self.settings)}

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


def finished(
    sections: Iterable[Section],
) -> tuple[tuple[Section, ...], dict[str, list[str]], tuple[Part, ...]]:
    """What is shown where it belongs, and what stands in a box at the end; empty sections are left out.

    Returns:
        the sections; for each reason that several sections have, said once, the questions that it leaves
        open; what the author has not done.
    """
    sections = tuple(sections)
    reasons = [{part.reason for part in section.parts if not part.undone} for section in sections]
    shared = {reason for reason, n in Counter(chain(*reasons)).items() if reason and n > 1}
    kept, undone = [], []
    unasked: dict[str, list[str]] = {reason: [] for reason in sorted(shared)}
    for section in sections:
        parts = [part for part in section.parts if not part.undone and part.reason not in shared]
        undone += [part for part in section.parts if part.undone]
        for part in section.parts:
            if part.reason in shared and not part.undone:
                told = unasked[part.reason]
                what = first_sentence(part.sentence)[0] if parts else section.title
                told += [] if what in told else [what]
        if parts or not section.parts:
            once = tuple(replace(part, tables=said_once(part.tables, unasked)) for part in parts)
            kept.append(replace(section, parts=once))
    return tuple(kept), unasked, tuple(undone)


def said_once(tables: Iterable[Table], reasons: Iterable[str]) -> tuple[Table, ...]:
    """Tables that point to the box of reasons where one of these stands in a cell."""

    def pointed(cell: str) -> str:
        for reason in reasons:
            cell = cell.replace(reason, f"see “{UNASKED}”")
        return cell

    return tuple(
        replace(table, rows=tuple(tuple(map(pointed, row)) for row in table.rows)) for table in tables
    )


def nothing(name: str, title: str, sentence: str, reason: str) -> Section:
    """A section whose analysis has only a reason: nothing to explain, nothing to misread."""
    return Section(name, title, (Part(name, sentence, reason=reason),), Markup(), Markup())
