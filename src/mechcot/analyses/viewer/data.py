"""The files of the viewer by name: the page, and its data as scripts, which a page from disk may load too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from mechcot.analyses.viewer.index import index_of
from mechcot.analyses.viewer.question import questions_of
from mechcot.analyses.viewer.tables import ArmFiles, shown_arms
from mechcot.core import files
from mechcot.core.errors import DataError, UsageError
from mechcot.report.figures import look
from mechcot.report.frame import embedded
from mechcot.report.page import VERDICTS
from mechcot.report.palette import arm_colours
from mechcot.steps.of_study import kind_names

if TYPE_CHECKING:
    from mechcot.study.folder import Study

CHUNK = 500
"""Traces whose texts are searched from one file."""
_TOGETHER = 64
"""Questions that are read at once for an export."""
_SCRIPTS = ("draw.js", "trace.js", "list.js", "start.js")


@dataclass(frozen=True)
class Data:
    """What the pages show of a study.

    Attributes:
        study: the study.
        index: its list of traces, or the part of it that is shown.
    """

    study: Study
    index: pd.DataFrame

    @classmethod
    def of(cls, study: Study) -> Data:
        """All of a study."""
        return cls(study, index_of(study))

    @cached_property
    def qids(self) -> list[str]:
        """The questions that have a trace, in order: `q/NUMBER` is the file of one."""
        return list(dict.fromkeys(self.index.qid))

    @cached_property
    def files(self) -> dict[str, ArmFiles]:
        """The tables of each arm; a table is checked when it is first read."""
        return {arm: ArmFiles(self.study, arm) for arm in dict.fromkeys(self.index.arm)}

    @property
    def n_texts(self) -> int:
        """Files of texts to search."""
        return -(-len(self.index) // CHUNK)

    def text(self, name: str) -> str:
        """A file of data: `index`, `q/NUMBER` or `text/NUMBER`.

        Raises:
            KeyError: there is no such file.
            DataError: a table is damaged.
        """
        kind, _, number = name.partition("/")
        if kind == "index" and not number:
            return self._index_script
        if not number.isdecimal() or kind not in ("q", "text"):
            raise KeyError(name)
        place = int(number)
        if kind == "q" and place < len(self.qids):
            return script(name, next(questions_of(self.study, self.files, self.index, [self.qids[place]])))
        if kind == "text" and place < self.n_texts:
            return script(name, self._texts[place * CHUNK : (place + 1) * CHUNK])
        raise KeyError(name)

    @cached_property
    def _texts(self) -> list[str]:
        """The text of every trace of the list, in its order."""
        found: dict[tuple[str, str, int], str] = {}
        for arm in dict.fromkeys(self.index.arm):
            table = self.files[arm].table("traces", ("qid", "cid", "text"))
            found |= {(arm, q, c): t for q, c, t in zip(table.qid, table.cid, table.text, strict=True)}
        return [found[key] for key in zip(self.index.arm, self.index.qid, self.index.cid, strict=True)]

    @cached_property
    def _index_script(self) -> str:
        return script("index", self.listing())

    def listing(self) -> dict[str, Any]:
        """The list of traces by columns, with the names that its codes stand for."""
        index, settings = self.index, self.study.settings
        arms = [arm for arm in shown_arms(self.study) if arm in set(index.arm)]
        kinds = sorted({kind for kinds in index.kinds for kind in kinds})
        named = kind_names(self.study)
        colours = arm_colours(settings)
        code = {kind: i for i, kind in enumerate(kinds)}
        questions = self.study.questions().set_index("qid")
        number = {qid: i for i, qid in enumerate(self.qids)}
        return {
            "study": self.study.path.resolve().name,
            "arms": [
                {"name": arm, "colour": colours[arm], "shape": look(colours[arm]).symbol} for arm in arms
            ],
            "pair": [settings.contrast.before, settings.contrast.after],
            "instruments": list(self.files[arms[0]].verdicts),
            "kinds": [named.get(kind, kind) for kind in kinds],
            "verdicts": {label: list(told) for label, told in VERDICTS.items()},
            "questions": [[qid, str(questions.stem[qid])[:160]] for qid in self.qids],
            "chunk": CHUNK,
            "missing": self._missing(arms),
            "columns": {
                "q": [number[qid] for qid in index.qid],
                "arm": [arms.index(arm) for arm in index.arm],
                "kinds": [[code[kind] for kind in kinds] for kinds in index.kinds],
                "probe": [None if steps is None else list(map(int, steps)) for steps in index.probe],
                "surprisal": [None if np.isnan(x) else round(float(x), 3) for x in index.surprisal],
                **{
                    name: index[name].tolist()
                    for name in (
                        "cid",
                        "answer",
                        "state",
                        "fate",
                        "strip",
                        "disagree",
                        "hedged",
                        "lock",
                        "last",
                    )
                },
            },
        }

    def _missing(self, arms: list[str]) -> list[str]:
        """What the study has not, and the command that makes it."""
        there, name = [self.files[arm] for arm in arms], "STUDY"  # pages are shared: no path of this machine
        found = []
        if not any(one.reader for one in there):
            found.append(f"Nothing is read yet: mechcot read {name}")
        elif not any(one.probe for one in there):
            found.append(f"No probe of single steps is kept: mechcot probe {name}")
        if all(len(one.verdicts) < 2 for one in there):
            found.append(f"One instrument alone has judged: mechcot judge {name} --judge FILE")
        return found


def script(name: str, value: Any) -> str:
    """A file of data as a script that hands it to the page."""
    return f"mechcot.put({json.dumps(name)}, {embedded(value)});\n"


def program() -> str:
    """The page's own script."""
    return "".join(_asset(name) for name in _SCRIPTS)


def style() -> str:
    """The page's style sheet."""
    return _asset("viewer.css")


def page(title: str) -> str:
    """The page that loads its script, style and data from beside it."""
    return _render(title, policy="script-src 'self'; style-src 'self'", inline=None)


def whole_page(data: Data, title: str, start: str) -> str:
    """The page with all in it, for a notebook: it shows a few questions.

    Args:
        data: of these questions.
        title: of the page.
        start: what it shows first, as the part of an address behind `#`.
    """
    names = ["index", *(f"q/{i}" for i in range(len(data.qids))), *(f"text/{i}" for i in range(data.n_texts))]
    told = "".join(data.text(name) for name in names)
    scripts = [program(), told]
    hashes = " ".join(f"'{files.source_of(text)}'" for text in scripts)
    inline = {"style": Markup(style()), "scripts": [Markup(text) for text in scripts], "start": start}
    return _render(title, policy=f"script-src {hashes}; style-src 'unsafe-inline'", inline=inline)


def export(data: Data, folder: Path) -> Iterator[int]:
    """Write all pages into a folder that works from disk.

    Args:
        data: of a study.
        folder: new or empty.

    Yields:
        How many questions are written more.

    Raises:
        UsageError: the folder holds something.
        DataError: it cannot be written, or a table is damaged.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and not an empty folder; name another, or empty it")
    try:
        for kind in ("q", "text"):
            (folder / "data" / kind).mkdir(parents=True)
        for start in range(0, len(data.qids), _TOGETHER):
            qids = data.qids[start : start + _TOGETHER]
            for number, question in enumerate(questions_of(data.study, data.files, data.index, qids), start):
                name = f"q/{number}"
                files.write_text(folder / "data" / f"{name}.js", script(name, question))
            yield len(qids)
        for name in ("index", *(f"text/{i}" for i in range(data.n_texts))):
            files.write_text(folder / "data" / f"{name}.js", data.text(name))
        files.write_text(folder / "viewer.css", style())
        files.write_text(folder / "viewer.js", program())
        files.write_text(folder / "index.html", page(data.study.path.resolve().name))
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be written: {error.strerror}") from error


def _render(title: str, *, policy: str, inline: dict[str, Any] | None) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_asset("viewer.html"))
    return template.render(title=title, policy=Markup(policy), inline=inline)


@cache
def _asset(name: str) -> str:
    return resources.files("mechcot.analyses.viewer").joinpath(name).read_text(encoding="utf-8")
