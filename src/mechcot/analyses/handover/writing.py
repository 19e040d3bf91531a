"""One writer goes on from every prefix: free, and with the author's own next claim given up to its object.

Text is handed over, not tokens. Where author and writer share a tokenizer, tokens stay as they were written
up to the last whole one before the cut, as in readings (`reading.seams`); elsewhere the text is put into
tokens anew. What the writer writes is cut into steps with the text before it, by the study's own segmenter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mechcot.analyses.arms import pair_of
from mechcot.analyses.handover.places import NO_SLOT, Place, Slot, places_of, slot_in
from mechcot.core import records
from mechcot.core.handover_tables import FORCED, FREE, GREEDY, NEXT_STEPS, OWN, PLACES
from mechcot.core.sampling_settings import SamplingSettings
from mechcot.steps.of_study import checkpoint_folder, questions_by_id, task_of
from mechcot.steps.segment import pieces
from mechcot.steps.table import pieces_of
from mechcot.tasks import Question, Task, parts, render_prompt
from mechcot.tasks.answers import REASONED
from mechcot.tasks.tokens import decode, following

if TYPE_CHECKING:
    from mechcot.analyses.handover.slots import At
    from mechcot.models.checkpoint import Checkpoint
    from mechcot.sampling import Completion
    from mechcot.study.folder import Study

Tokens = Callable[[str], list[int]]
"""A text's tokens where it follows another one."""
TOO_LONG = "the prefix and a step are longer than the writer's context"
OTHER_TOKENS = "the writer's tokenizer does not give the text back"
_TAIL = 16  # last tokens of a prefix that a text behind it is decoded with
_SHORTEST = 16


@dataclass(frozen=True)
class Prefix:
    """A place in a writer's tokens.

    Attributes:
        place: which.
        form: `free` or `forced`.
        text: all that is handed over.
        head: the part of it that begins the next step.
        prompt: tokens of the question.
        ids: tokens of the text.
    """

    place: Place
    form: str
    text: str
    head: str
    prompt: tuple[int, ...]
    ids: tuple[int, ...]

    @property
    def name(self) -> str:
        """A name among the prefixes of one writer."""
        return "\0".join(map(str, (*self.place.key, self.form)))


@dataclass(frozen=True)
class NextStep:
    """What was written first behind a prefix.

    Attributes:
        outcome: as in `NEXT_STEPS`.
        text: of the step, with what was given of it; "" without a step.
        start: where it begins in the text that was handed over and written.
    """

    outcome: str
    text: str = ""
    start: int = 0


@dataclass(frozen=True)
class Writer:
    """Who writes, in which task, with what room.

    Attributes:
        arm: its name.
        checkpoint: its weights and tokenizer.
        task: of the study.
        questions: by id.
        sampling: of the study, as many tokens long as a step may be.
        samples: next steps at its temperature.
        window: words of a step, for the segmenter `words`.
        seed: of the draws.
    """

    arm: str
    checkpoint: Checkpoint
    task: Task
    questions: dict[str, Question]
    sampling: SamplingSettings
    samples: int
    window: int
    seed: int


def longest_step(study: Study) -> int:
    """How many tokens a next step may have: twice the 99th percentile of the contrast's own steps."""
    steps = pd.concat([study.steps(arm)[["tok_start", "tok_end"]] for arm in pair_of(study)])
    usual = math.ceil((steps.tok_end - steps.tok_start).quantile(0.99))
    return min(study.settings.sampling.max_new_tokens, max(_SHORTEST, 2 * usual))


def write_next(study: Study, arm: str, work: Path, *, progress: bool) -> None:
    """Write `handover/ARM/places.parquet` and `steps.parquet`: how an arm goes on from every prefix.

    Batches that are done are kept in `work`.

    Raises:
        ModelError: the arm's weights cannot be loaded.
        SamplingError: as `sampling.sample`.
    """
    from mechcot.models.checkpoint import load

    settings = study.settings
    assert settings.handover is not None  # else there is no stage
    room = {"max_new_tokens": longest_step(study)}
    writer = Writer(
        arm=arm,
        checkpoint=load(settings.arms[arm], checkpoint_folder(study, arm), settings.device),
        task=task_of(study),
        questions=questions_by_id(study),
        sampling=settings.sampling.model_copy(update=room),
        samples=settings.handover.samples,
        window=settings.steps.window,
        seed=settings.seed,
    )
    places, rows = next_steps(writer, places_of(study), _traces(study), work, progress=progress)
    out = study.path / "handover" / arm
    records.write_table(out / "places.parquet", places, PLACES)
    records.write_table(out / "steps.parquet", rows, NEXT_STEPS)


def _traces(study: Study) -> dict[tuple[str, str, int], Any]:
    """Traces by question, arm and sample."""
    return {
        (trace.qid, trace.arm, int(trace.cid)): trace
        for arm in dict.fromkeys(pair_of(study))
        for trace in records.rows(study.traces(arm))
    }


def next_steps(
    writer: Writer,
    places: Sequence[Place],
    traces: dict[tuple[str, str, int], Any],
    work: Path,
    *,
    progress: bool,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `PLACES` and of `NEXT_STEPS`."""
    from mechcot.analyses.handover.slots import probabilities

    told, prefixes = _prefixes(writer, places, traces)
    tokens = cache(partial(following, writer.checkpoint.tokenizer))
    forced = {
        one.place.key: ((*one.prompt, *one.ids), _truths(one.place.slot, tokens))
        for one in prefixes
        if one.form == FORCED and one.place.slot is not None
    }
    rows, slots = _read(writer, prefixes, tokens, work, progress)
    known = probabilities(
        writer.checkpoint,
        writer.sampling,
        [*forced.values(), *slots.values()],
        work / "slots",
        name=f"slots {writer.arm}",
        progress=progress,
    )
    for key, at in forced.items():
        told[key] |= dict(zip(("p_truth", "first_true"), known[at], strict=True))
    for number, at in slots.items():
        rows[number]["p_truth"] = known[at][0]
    return list(told.values()), rows


def _read(
    writer: Writer, prefixes: Sequence[Prefix], tokens: Tokens, work: Path, progress: bool
) -> tuple[list[dict[str, Any]], dict[int, At]]:
    """Rows of `NEXT_STEPS` without probabilities; and the slots of free steps with a claim, by row."""
    cut = cache(partial(next_step, writer.task, writer.window, writer.sampling.stop))
    rows: list[dict[str, Any]] = []
    slots: dict[int, At] = {}
    for one, draw, completion in _write(writer, prefixes, work, progress):
        question, ids = writer.questions[one.place.qid], _body(completion)
        said = behind(writer.checkpoint.tokenizer, one.ids, ids)
        found = cut(question, one.text, one.head, said, completion.finish_reason == "stop")
        chose = one.form == FREE and one.place.source == OWN and draw != GREEDY
        slot = slot_in(question, writer.task, found.text) if chose else None
        if slot is not None:
            slots[len(rows)] = _at_slot(one, found, said, slot, tokens)
        own = {"form": one.form, "draw": draw, "outcome": found.outcome, "text": found.text}
        role = writer.task.role(question, found.text) if found.text else ""
        rows.append(_ids(one.place) | own | {"role": role, "n_tokens": len(ids), "p_truth": None})
    return rows, slots


def _ids(place: Place) -> dict[str, Any]:
    names = ("qid", "arm", "cid", "k", "source")
    return dict(zip(names, place.key, strict=True))


def _body(completion: Completion) -> list[int]:
    """The tokens without the end of text."""
    ids = completion.token_ids
    return ids[:-1] if completion.finish_reason == "stop" else ids


# --- prefixes ---------------------------------------------------------------------------------------


def _prefixes(
    writer: Writer, places: Sequence[Place], traces: dict[tuple[str, str, int], Any]
) -> tuple[dict[Any, dict[str, Any]], list[Prefix]]:
    """Rows of `PLACES` by key, without probabilities; and what there is to go on from."""
    told: dict[Any, dict[str, Any]] = {}
    prefixes = []
    of_trace = dict.fromkeys((place.qid, place.arm, place.cid) for place in places)
    own = {key: _own_tokens(writer.checkpoint.tokenizer, traces[key]) for key in of_trace}
    prompt = cache(partial(_prompt, writer))
    for place in places:
        row = _ids(place) | {"kind": place.kind, "left_out": "", "no_slot": ""}
        row |= {"p_truth": None, "first_true": None}
        told[place.key] = row
        tokens = own[place.qid, place.arm, place.cid] if place.source == OWN else ()
        if place.slot is None:
            row["no_slot"] = NO_SLOT
        for form, why in ((FREE, "left_out"), (FORCED, "no_slot")):
            if row["left_out"] or (form == FORCED and place.slot is None):
                continue
            one = _prefix(writer, place, form, prompt(place.qid), tokens)
            row[why] = _unfit(writer, one)
            if not row[why]:
                prefixes.append(one)
        if row["left_out"]:
            row["no_slot"] = row["left_out"]
    return told, prefixes


def _prompt(writer: Writer, qid: str) -> tuple[int, ...]:
    return tuple(render_prompt(writer.questions[qid], writer.task.format, writer.checkpoint.tokenizer)[1])


def _own_tokens(tokenizer: Any, trace: Any) -> tuple[int, ...]:
    """The tokens of a trace, if they say its text in this tokenizer too; else none."""
    ids = [int(i) for i in trace.token_ids]
    body = ids[:-1] if trace.finish_reason == "stop" else ids
    known = max(body, default=0) < len(tokenizer)
    return tuple(body) if known and decode(tokenizer, body) == trace.text else ()


def _prefix(writer: Writer, place: Place, form: str, prompt: tuple[int, ...], own: Sequence[int]) -> Prefix:
    head = place.slot.text if form == FORCED and place.slot is not None else ""
    text = place.text + (place.gap + head if head else "")
    tokenizer = writer.checkpoint.tokenizer
    ids, known = whole_tokens_of(tokenizer, own, text)
    rest = following(tokenizer, text[known:]) if text[known:] else []
    return Prefix(place, form, text, head, prompt, (*ids, *rest))


def whole_tokens_of(tokenizer: Any, ids: Sequence[int], text: str) -> tuple[tuple[int, ...], int]:
    """The first of the tokens that say the beginning of a text and no more, and how much that is."""
    low, high = 0, len(ids)
    while low < high:  # the most tokens that say no more than the text
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(decode(tokenizer, ids[:middle])) <= len(text) else (low, middle - 1)
    for count in range(low, 0, -1):
        said = decode(tokenizer, ids[:count])
        if text.startswith(said):
            return tuple(ids[:count]), len(said)
    return (), 0


def _unfit(writer: Writer, one: Prefix) -> str:
    """Why nothing can be written behind a prefix, "" if it can."""
    said = decode(writer.checkpoint.tokenizer, one.ids)
    if "".join(said.split()) != "".join(one.text.split()):
        return OTHER_TOKENS
    length, context = len(one.prompt) + len(one.ids), writer.checkpoint.context
    fits = context is None or length + writer.sampling.max_new_tokens <= context
    return "" if fits else TOO_LONG


# --- what is written --------------------------------------------------------------------------------


def _write(
    writer: Writer, prefixes: Sequence[Prefix], work: Path, progress: bool
) -> Iterator[tuple[Prefix, int, Completion]]:
    """Each completion with its prefix and draw."""
    from mechcot.sampling import Prompt, Stream, complete

    by_name = {one.name: one for one in prefixes}
    asked = [Prompt(name, (*one.prompt, *one.ids)) for name, one in by_name.items()]
    done = complete(
        writer.checkpoint,
        asked,
        writer.sampling.model_copy(update={"samples": writer.samples + 1}),
        Stream(writer.arm, writer.seed, _stop(writer, by_name), may_be_empty=True, greedy=1),
        work / "steps",
        progress=progress,
    )
    for completion in done:
        draw = completion.cid if completion.cid < writer.samples else GREEDY
        yield by_name[completion.qid], draw, completion


def _stop(writer: Writer, by_name: dict[str, Prefix]) -> Callable[[str, Sequence[int]], int | None]:
    """Ends a completion once another step, or the answer, has begun behind the next step."""
    tokenizer, form = writer.checkpoint.tokenizer, writer.task.format
    marks = [mark for mark in (form.reasoning_end, *writer.sampling.stop) if mark]

    @cache
    def over(text: str) -> bool:
        return len(pieces(text, writer.task.segmenter, writer.window)) > 1

    def stop(name: str, ids: Sequence[int]) -> int | None:
        said = behind(tokenizer, by_name[name].ids, ids)
        ended = any(mark in said for mark in marks) or over(by_name[name].head + said)
        return len(ids) if ended else None

    return stop


def behind(tokenizer: Any, before: Sequence[int], ids: Sequence[int]) -> str:
    """The text of tokens behind others, the blank between them included."""
    tail = list(before[-_TAIL:])
    head, whole = decode(tokenizer, tail), decode(tokenizer, [*tail, *ids])
    return whole[len(head) :] if whole.startswith(head) else decode(tokenizer, ids)


def next_step(
    task: Task,
    window: int,
    stops: tuple[str, ...],
    question: Question,
    handed: str,
    head: str,
    said: str,
    ended: bool,
) -> NextStep:
    """The first step behind what was handed over.

    Args:
        task: it cuts texts into steps.
        window: words of a step, for the segmenter `words`.
        stops: texts that end what is written.
        question: whose.
        handed: what was handed over.
        head: its end, which begins the step.
        said: what was written behind it.
        ended: whether the writer ended by itself.
    """
    cut = min((at for mark in stops if (at := said.find(mark)) >= 0), default=len(said))
    ended, said = ended or cut < len(said), said[:cut]
    if not said.strip():
        return NextStep("empty")
    whole = handed + said
    first = len(handed) + len(said) - len(said.lstrip())
    begin = len(handed) - len(head)
    role = next(part.role for part in parts(whole, question, task.format) if part.start <= first < part.end)
    for start, end, _ in pieces_of(whole, question, task, window):
        if end <= first:
            continue
        if start > first and role not in (*REASONED, "markup"):
            break
        if whole[start:begin].strip() or whole[begin : min(start, first)].strip():
            return NextStep("runs_on")  # cut elsewhere than where the author's step began
        start = max(start, begin + len(whole[begin:]) - len(whole[begin:].lstrip()))
        whole_step = end < len(whole.rstrip()) or ended
        return NextStep("step", whole[start:end], start) if whole_step else NextStep("cut")
    return NextStep("answer" if role not in (*REASONED, "markup") else "empty")


# --- slots --------------------------------------------------------------------------------------------


def _truths(slot: Slot, tokens: Tokens) -> tuple[int, ...]:
    """The first token of each true object, with the blank before it."""
    return tuple(sorted({tokens(slot.blank + truth)[0] for truth in slot.truth}))


def _at_slot(one: Prefix, found: NextStep, said: str, slot: Slot, tokens: Tokens) -> At:
    """The tokens up to the object of a step that was written, and the first tokens of true objects."""
    upto = (one.text + said)[len(one.text) : found.start + len(slot.text)]
    return (*one.prompt, *one.ids, *tokens(upto)), _truths(slot, tokens)
