"""Draw a study of ratings: which traces, who rates them, and one form a participant.

The arms are the trace types. A question is in the draw if every arm has a finished trace with an answer of
it; of each arm one such trace is drawn at random, right or wrong, so that what is rated is what the arm
writes. Each participant gets one arm and a form of several questions. The key says what every id stands for;
a form bears the key's digest and nothing that leads back to an arm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mechcot.analyses.handed_out.key import digests, key_text, random_ids, refuse_existing, sealed_name
from mechcot.analyses.likert.design import checks_of, plan_of
from mechcot.analyses.likert.page import Shown, form_html
from mechcot.analyses.likert.power import RUNS, Power, power_of
from mechcot.analyses.likert.scales import CONSENT, POINTS, STATEMENTS
from mechcot.core import files, records
from mechcot.core.errors import DataError, UsageError
from mechcot.core.manifest import HANDED_OUT
from mechcot.core.words import aligned, counted, plain_signs
from mechcot.study.writing import write_beside
from mechcot.tasks import question_of

if TYPE_CHECKING:
    from mechcot.study.folder import Study

FORMAT = "likert/1"
FILES = ("key.json", "forms", "participants.csv")
_ITEM = ("item", "arm", "qid", "cid")


@dataclass(frozen=True)
class Draw:
    """A study of ratings before it is written.

    Attributes:
        arms: the trace types, the first of which the others are compared with.
        domain: of the questions; None: all of them.
        items: one row a trace: `item` (its id), `arm`, `qid`, `cid`.
        sheets: one row a page of a form, in order: `participant` (id), `arm`, `item`, `check` (the right
            answer of the attention check beside it, 0: none).
        seed: of the draw.
        left_out: questions without a finished and answered trace of every arm.
    """

    arms: tuple[str, ...]
    domain: str | None
    items: pd.DataFrame
    sheets: pd.DataFrame
    seed: int
    left_out: int

    def power(self, *, runs: int = RUNS) -> Power:
        """What it can see, by simulation (seconds)."""
        participants = self.sheets.participant.nunique()
        each = len(self.sheets) // participants
        questions = self.items.qid.nunique()
        return power_of(participants, len(self.arms), questions, each, seed=self.seed, runs=runs)

    def text(self) -> str:
        """Who rates what, for a terminal."""
        rows: list[tuple[str, ...]] = [("arm", "participants", "traces", "ratings a trace")]
        for arm in self.arms:
            own = self.sheets[self.sheets.arm == arm]
            counts = own.groupby("item").size()
            traces = int((self.items.arm == arm).sum())
            shares = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()}-{counts.max()}"
            rows.append((arm, str(own.participant.nunique()), str(traces), shares))
        lines = aligned(rows)
        if self.left_out:
            left = plain_signs(counted(self.left_out, "question"))
            lines.append(f"Left out: {left} without a finished and answered trace of every arm.")
        return "\n".join(lines)


def draw_ratings(
    study: Study,
    participants: int,
    *,
    arms: Sequence[str] = (),
    questions: int = 12,
    each: int = 6,
    seed: int | None = None,
) -> Draw:
    """Choose traces and participants' forms; writes nothing.

    Args:
        study: with traces of its arms.
        participants: how many people, all arms together.
        arms: the trace types, the first to compare with; none: all arms with traces, the
            contrast's first.
        questions: how many questions, at most; each arm has a trace of each.
        each: how many of them a participant rates.
        seed: of the draw; the study's by default.

    Raises:
        UsageError: counts that do not fit each other, or an arm named twice.
        StudyError: an arm that the study has not.
        DataError: no question has a finished and answered trace of every arm.
    """
    contrast = study.settings.contrast
    seed = study.settings.seed if seed is None else seed
    first = [contrast.before, contrast.after]
    others = (arm for arm in study.settings.arms if arm not in first)
    traced = (arm for arm in others if (study.arm_path(arm) / "traces.parquet").exists())
    chosen = tuple(arms) or (*first, *traced)
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"an arm is named twice: {', '.join(chosen)}; name each once with --arm")
    rng = np.random.default_rng([seed, participants, questions, each])
    asked = study.questions(contrast.domain)
    usable = {arm: _usable(study.traces(arm), asked.qid) for arm in chosen}
    shared = [qid for qid in asked.qid if all(qid in own for own in usable.values())]
    if not shared:
        raise DataError(
            f"{study.path}: no question has a finished and answered trace of each of {', '.join(chosen)}; "
            "name fewer arms with --arm"
        )
    qids = [shared[i] for i in rng.permutation(len(shared))[:questions]]
    plan = plan_of(participants, len(chosen), len(qids), each)
    items = pd.DataFrame(
        [(arm, qid, int(rng.choice(usable[arm][qid]))) for arm in chosen for qid in qids],
        columns=["arm", "qid", "cid"],
    )
    items.insert(0, "item", random_ids(len(items), rng))
    names = random_ids(participants, rng)
    pages = []
    for rater in range(participants):
        own = np.flatnonzero(plan.rater == rater)
        group = int(plan.group[own[0]])
        checks = checks_of(each, rng)
        for place, question in enumerate(plan.item[rng.permutation(own)]):
            item = items.item[group * len(qids) + int(question)]
            pages.append((names[rater], chosen[group], item, checks.get(place, 0)))
    return Draw(
        arms=chosen,
        domain=contrast.domain,
        items=items,
        sheets=pd.DataFrame(pages, columns=["participant", "arm", "item", "check"]),
        seed=seed,
        left_out=len(asked) - len(shared),
    )


def _usable(traces: pd.DataFrame, asked: pd.Series) -> dict[str, list[int]]:
    """Of each question the traces that ended by themselves and gave an answer."""
    done = traces[(traces.finish_reason == "stop") & (traces.answer >= 0) & traces.qid.isin(asked)]
    return {str(qid): sorted(own) for qid, own in done.groupby("qid")["cid"]}


def write_forms(study: Study, drawn: Draw, out: Path, *, consent: Path | None = None) -> Path:
    """Write `forms/PARTICIPANT.html`, `participants.csv` and the sealed `key.json` into a folder.

    The study that it lies in records forms and key, and not the list, which one may keep notes in.

    Args:
        study: that the traces were drawn from.
        drawn: the draw.
        out: the folder.
        consent: a text file of one's own, paragraphs parted by blank lines.

    Returns:
        The folder.

    Raises:
        StudyError: forms lie there already.
        DataError: the consent text cannot be read or is empty.
    """
    refuse_existing(out, FILES, "a set of forms")
    each = int(drawn.sheets.groupby("participant").size().iloc[0])
    paragraphs = _consent(consent, each)
    key = key_text(_key(study, drawn, paragraphs))
    name = sealed_name("form", key.encode())
    shown = _shown(study, drawn)
    listed = ["participant,form", *(f"{one},forms/{one}.html" for one in drawn.sheets.participant.unique())]

    def write() -> None:
        files.write_text(out / "key.json", key)
        for participant, pages in drawn.sheets.groupby("participant", sort=False):
            texts = [replace(shown[page.item], check=int(page.check)) for page in records.rows(pages)]
            page = form_html(name, str(participant), texts, paragraphs)
            files.write_text(out / "forms" / f"{participant}.html", page)
        files.write_text(out / "participants.csv", "\r\n".join(listed) + "\r\n")

    write_beside(out, ("key.json", "forms"), write, kind=HANDED_OUT)
    return out


def sources(study: Study, arms: Sequence[str]) -> dict[str, str]:
    """Digests of the tables that the rated traces come from."""
    paths = [study.path / "questions.parquet", *(study.arm_path(arm) / "traces.parquet" for arm in arms)]
    return digests(study, paths)


def _consent(path: Path | None, each: int) -> tuple[str, ...]:
    if path is None:
        return tuple(paragraph.format(items=each) for paragraph in CONSENT)
    text = files.read_text(path, "utf-8-sig")
    paragraphs = tuple(" ".join(part.split()) for part in text.replace("\r\n", "\n").split("\n\n"))
    kept = tuple(part for part in paragraphs if part)
    if not kept:
        raise DataError(
            f"{path}: is empty; write what participants agree to, paragraphs parted by blank lines"
        )
    return kept


def _key(study: Study, drawn: Draw, consent: Sequence[str]) -> dict[str, Any]:
    people = []
    for participant, pages in drawn.sheets.groupby("participant", sort=False):
        checks = {page.item: int(page.check) for page in records.rows(pages) if page.check}
        arm = pages["arm"].iloc[0]
        people.append(
            {"participant": participant, "arm": arm, "items": list(pages["item"]), "checks": checks}
        )
    return {
        "format": FORMAT,
        "arms": list(drawn.arms),
        "domain": drawn.domain,
        "seed": drawn.seed,
        "statements": STATEMENTS,
        "points": list(POINTS),
        "consent": hashlib.sha256("\n".join(consent).encode()).hexdigest(),
        "sources": sources(study, drawn.arms),
        "items": drawn.items[list(_ITEM)].to_dict("records"),
        "participants": people,
    }


def _shown(study: Study, drawn: Draw) -> dict[str, Shown]:
    """What a form shows of each item, without attention checks."""
    questions = {row.qid: question_of(row) for row in records.rows(study.questions(drawn.domain))}
    found: dict[str, Shown] = {}
    for arm in drawn.arms:
        traces = study.traces(arm).set_index(["qid", "cid"])
        for item in records.rows(drawn.items[drawn.items.arm == arm]):
            question, trace = questions[item.qid], traces.loc[(item.qid, item.cid)]
            options = () if question.open else question.options
            text, answer = str(trace.text), question.named(trace.answer)
            # a trace that only answers is shown as it is
            reasoning = text[: trace.reasoning_end].strip() or text.strip()
            found[item.item] = Shown(item.item, question.stem, options, reasoning, answer)
    return found
