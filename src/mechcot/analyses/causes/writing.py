"""Continuations behind prefixes: of changed steps, of an answer that comes first, of places of a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mechcot.analyses.causes import design
from mechcot.analyses.causes.cases import Case
from mechcot.analyses.causes.forced import Answers, margin, shares
from mechcot.analyses.causes.items import Ids, Item
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.models.checkpoint import Checkpoint
from mechcot.reading.seams import whole_tokens
from mechcot.tasks import Question, Task, read_answer
from mechcot.tasks.tokens import decode, following

NO_ROOM = "prefixes: no room behind them in the model's context"
CUT = "continuations: cut by the token limit"
NO_STATEMENT = "traces: no step states their answer in its written form once"


@dataclass(frozen=True)
class Writer:
    """Who writes.

    Attributes:
        checkpoint: weights and tokenizer.
        task: of the study.
        questions: by id.
        sampling: of the arm, as many samples as continuations of a prefix.
        arm: its name.
        seed: of the draws.
    """

    checkpoint: Checkpoint
    task: Task
    questions: Mapping[str, Question]
    sampling: SamplingSettings
    arm: str
    seed: int


@dataclass(frozen=True)
class Job:
    """A prefix that is gone on from.

    Attributes:
        case: of which trace.
        ids: tokens behind the prompt.
        row: what its rows of `CONTINUED` say of it.
    """

    case: Case
    ids: Ids
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique among the jobs of an arm."""
        return "\0".join(map(str, (self.case.name, *(self.row[key] for key in ("job", "sid", "variant")))))


def step_jobs(
    tokenizer: Any,
    cases: Sequence[Case],
    swaps: Iterable[Mapping[str, Any]],
    written: Answers,
    most: int,
    seed: int,
) -> list[Job]:
    """Steps as written, left out, and swapped.

    Args:
        tokenizer: of who writes.
        cases: whose steps.
        swaps: rows of `SWAPPED`.
        written: answers after each prefix, see `forced.swaps_of`.
        most: steps of each kind and label at most, drawn from the seed.
        seed: of the draw.
    """
    objects: dict[tuple[str, int, int], list[tuple[str, str]]] = {}
    for row in swaps:
        if row["variant"] != design.ALIKE:
            objects.setdefault((row["qid"], row["cid"], row["sid"]), []).append(
                (row["variant"], row["object"])
            )
    jobs = []
    for case, item in drawn(cases, most, seed):
        if (case.name, 0) not in written:
            continue
        before = margin(written[case.name, 0][item.number])
        row = {"sid": item.sid, "kind": item.kind, "label": item.label, "job": design.STEP}
        row |= {"margin": before, "aim": -1}
        whole = _upto(tokenizer, case, item.number + 1)
        jobs.append(Job(case, whole, row | {"variant": design.WRITTEN}))
        jobs.append(Job(case, _upto(tokenizer, case, item.number), row | {"variant": design.WITHOUT}))
        for variant, name in objects.get((case.qid, case.cid, item.sid), ()):
            new = dict(item.objects)[name]
            ids = (*whole[: item.start], *new, *whole[item.stop :])
            jobs.append(Job(case, ids, row | {"variant": variant}))
    return jobs


def drawn(cases: Sequence[Case], most: int, seed: int) -> Iterator[tuple[Case, Item]]:
    """Some steps of each kind and label."""
    groups: dict[tuple[str, str], list[tuple[Case, Item]]] = {}
    for case in cases:
        for item in case.items:
            groups.setdefault((item.kind, item.label), []).append((case, item))
    for name in sorted(groups):
        group = groups[name]
        rng = np.random.default_rng([seed, *"\0".join(name).encode()])
        yield from (group[int(i)] for i in np.sort(rng.permutation(len(group))[:most]))


def _upto(tokenizer: Any, case: Case, number: int) -> Ids:
    """Tokens of the first steps of a trace, without blanks and line ends behind the last."""
    if number == 0:
        return ()
    cut = len(case.text[: case.steps[number - 1].char_end].rstrip())
    ids = tuple(case.trace.token_ids)
    count, known = whole_tokens(tokenizer, case.text, ids, case.starts, cut)
    rest = case.text[known:cut]
    return (*ids[:count], *(following(tokenizer, rest) if rest else ()))


def first_jobs(writer: Writer, cases: Sequence[Case], lost: Counter[str]) -> list[Job]:
    """A wrong answer, the trace's own, or nothing before the trace's first step.

    The answer is stated as the trace itself states it, with another option's text where its own stood. The
    wrong option is drawn from those that are neither right nor the trace's own.
    """
    jobs = []
    for case in cases:
        question = writer.questions[case.qid]
        rng = np.random.default_rng([writer.seed, *case.name.encode(), 1])
        wrong = [i for i in range(len(question.options)) if i not in (question.gold, case.own)]
        own = writer.task.format.written(question, case.own)
        stated = next((step.text for step in case.steps if step.states_answer), "")
        if not wrong or stated.count(own) != 1:
            lost[NO_STATEMENT] += 1
            continue
        aim = int(rng.choice(wrong))
        first = _upto(writer.checkpoint.tokenizer, case, 1)
        row = {"sid": case.steps[0].sid, "kind": "", "label": "", "job": design.FIRST, "margin": None}
        texts = {
            design.NONE: "",
            design.OWN: stated,
            design.WRONG: stated.replace(own, writer.task.format.written(question, aim)),
        }
        for variant, text in texts.items():
            before = following(writer.checkpoint.tokenizer, text + _gap(case)) if text else ()
            jobs.append(Job(case, (*before, *first), row | {"aim": aim, "variant": variant}))
    return jobs


def _gap(case: Case) -> str:
    """Line ends between the first step of a trace and the second."""
    behind = case.text[case.steps[0].char_end :]
    return "".join(c for c in behind[: len(behind) - len(behind.lstrip())] if c == "\n")


def free_jobs(
    writer: Writer, cases: Sequence[Case], written: Answers
) -> tuple[list[Job], list[dict[str, Any]]]:
    """Three places of each trace to go on from; and rows of `FORCED_FREE`."""
    jobs, rows = [], []
    for case in cases:
        if (case.name, 0) not in written:
            continue
        for place, number in zip(design.PLACES, (0, case.k // 2, case.k), strict=True):
            row = {"sid": number, "kind": "", "label": "", "job": design.FREE, "margin": None}
            ids = _upto(writer.checkpoint.tokenizer, case, number)
            jobs.append(Job(case, ids, row | {"aim": -1, "variant": place}))
            p = shares(written[case.name, 0][number], writer.sampling.temperature)
            rows.append(
                {"qid": case.qid, "arm": writer.arm, "cid": case.cid, "place": place, "p": p.tolist()}
            )
    return jobs, rows


def continued(
    writer: Writer, jobs: Sequence[Job], work: Path, lost: Counter[str], *, progress: bool
) -> list[dict[str, Any]]:
    """Rows of `CONTINUED`: what each continuation answers.

    Raises:
        SamplingError: as `sampling.complete`.
    """
    from mechcot.sampling import Prompt, Stream, complete
    from mechcot.sampling.stops import stop_of

    context, room = writer.checkpoint.context, writer.sampling.max_new_tokens
    by_name = {job.name: job for job in jobs}
    asked = [Prompt(name, (*job.case.prompt.prompt_ids, *job.ids)) for name, job in by_name.items()]
    fits = [prompt for prompt in asked if context is None or len(prompt.ids) + room <= context]
    lost[NO_ROOM] += len(asked) - len(fits)
    if not fits:
        return []
    tokenizer, form = writer.checkpoint.tokenizer, writer.task.format
    names = {name: writer.questions[job.case.qid] for name, job in by_name.items()}
    stop = stop_of(writer.sampling, names, form, tokenizer)
    stream = Stream(f"{writer.arm}, causes", writer.seed, stop, may_be_empty=True)
    rows = []
    for one in complete(writer.checkpoint, fits, writer.sampling, stream, work, progress=progress):
        job = by_name[one.qid]
        body = one.token_ids[:-1] if one.finish_reason == "stop" else one.token_ids
        text = decode(tokenizer, [*job.ids, *body])
        answer = read_answer(text, names[one.qid], form, one.finish_reason).option
        ids = {"qid": job.case.qid, "arm": writer.arm, "cid": job.case.cid, "own": job.case.own}
        cut = answer < 0 and one.finish_reason != "stop"
        lost[CUT] += cut
        rows.append(ids | job.row | {"draw": one.cid, "answer": answer, "cut": cut, "n_tokens": len(body)})
    return rows
