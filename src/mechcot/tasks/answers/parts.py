"""A completion in parts: reasoning, statements of the answer, what follows them, and marks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mechcot.tasks.answers.choices import either
from mechcot.tasks.answers.phrases import phrases
from mechcot.tasks.answers.read import Reading, reading_of
from mechcot.tasks.answers.statements import Statement, sentence_start
from mechcot.tasks.answers.turns import blocks
from mechcot.tasks.base import PromptFormat, Question

ROLES = ("reasoning", "answer", "after_answer", "markup", "overrun")
"""What a part can be. `overrun`: what follows the beginning of another question."""
REASONED = ("reasoning", "after_answer")
"""The parts that hold steps."""

_CLAIM_WORDS = 5  # so many words before an answer, in its own sentence, are a reason of their own
_BREAK = re.compile(r"[,;:]\s+|\s[-–—]\s|(?i:,?\s+(?=(?:so|therefore|thus|hence)\s))")
_EMPTY_OPENING = re.compile(
    r"[\W_]*(?i:(?:based|given|considering|among|of the|in light|in conclusion|in summary|after|from|overall|"
    r"taken|putting|with (?:this|these|that)|for (?:this|these)|therefore|thus|hence|as such|"
    r"to (?:summari[sz]e|conclude)|"
    r"according|out of|looking|in this (?:case|question)|conclusion|final|combining|by|now|step)(?!\w))"
)
_SO_SINCE = re.compile(
    r"[\W_]*(?i:therefore|thus|hence|so|consequently|in conclusion),?\s+"
    r"(?=(?i:since|because|as|when|while|although|if)(?!\w))"
)
_VERB_CUE = re.compile(rf"\s*(?:{either(phrases('verb'))}|:)")
_REASON = re.compile(
    r"(?P<mark>[\s,;:)\]-]*)(?i:because|since|as|which|given|due to|for|so that|"
    r"weil|da|denn|car|parce|puisque|porque|pois|"
    r"perch[eé]|потому|так как)(?!\w)"
)
_LABEL_LINE = re.compile(
    rf"[\W_]*(?:\d+[.)]\s*)?(?:\w+\s+){{0,2}}(?:{either(phrases('answer'))}|(?i:conclusion|summary|fazit))[\W_]*"
)
_CLOSING = re.compile(r"(?:\s*(?:\\[\])]|\$+|`{3}|\*+(?=\s|$)|</\w+>))+")
_OPENING = re.compile(r"(?:\n[^\w\n`]*)+\Z")  # lines of marks alone
_MARK = re.compile(r"[\W_]*(?:\(?(?:\d{1,3}|[A-Za-z])[.)])?[\W_]*")


@dataclass(frozen=True)
class Part:
    """A part of a completion.

    Attributes:
        start: first character.
        end: one past the last.
        role: one of `ROLES`.
    """

    start: int
    end: int
    role: str


def parts(text: str, question: Question | None, form: PromptFormat) -> list[Part]:
    """Cut a completion into parts, in order and without a gap: together they are the text.

    The sentences that state the answer are parts of their own, marks before them and a heading above
    included. A reason of some words in such a sentence stays reasoning. What follows the first statement
    of the answer is `after_answer`. Where the settings name a mark that ends the reasoning, all behind it
    is the answer's, unless nothing stands before it.
    """
    if form.exact:
        return [Part(*cut) for cut in _exact_cut(text, form) if cut[1] > cut[0]]
    block = blocks(text, form.reasoning_end)
    if form.reasoning_end and (block.behind or not block.closed):
        cut = [(0, block.end, "reasoning"), (block.end, len(text), "answer")]
        return _tidy(text, cut, block.tags)
    reading = reading_of(text, question, form)
    spans = _answer_spans(text, reading)
    first = _first_of_the_answer(text, reading)
    cut, at = [], 0
    for number, (start, end) in enumerate(spans):
        cut += [(at, start, "after_answer" if number > first else "reasoning"), (start, end, "answer")]
        at = end
    cut.append((at, reading.end, "after_answer" if spans and len(spans) > first else "reasoning"))
    cut.append((reading.end, len(text), "overrun"))
    return _tidy(text, cut, block.tags)


def _exact_cut(text: str, form: PromptFormat) -> list[tuple[int, int, str]]:
    if form.reasoning_end:
        at = text.find(form.reasoning_end)
    else:
        at = max((match.start() for match in re.finditer(form.answer_pattern, text)), default=-1)
    end = at if at >= 0 else len(text)
    return [(0, end, "reasoning"), (end, len(text), "answer")]


def reasoning_end(text: str, form: PromptFormat, question: Question | None = None) -> int:
    """Where the reasoning before the answer ends: at its mark, else at the answer, else at the end.

    Without the question only letters can be read as answers.
    """
    found = parts(text, question, form)
    answers = [part.start for part in found if part.role == "answer"]
    before = [part.end for part in found if part.role == "reasoning"]
    if not answers or (before and before[-1] > answers[-1]):
        return len(text)
    return before[-1] if before else answers[0]


def _tidy(text: str, cut: list[tuple[int, int, str]], tags: tuple[tuple[int, int], ...]) -> list[Part]:
    """The parts without empty ones, marks of blocks taken out of them."""
    found: list[Part] = []
    for start, end, role in cut:
        at = start
        for first, last in tags:
            if start <= first and last <= end and role != "overrun":
                found += [Part(at, first, role), Part(first, last, "markup")]
                at = last
        found.append(Part(at, end, role))
    return [_marked(text, part) for part in found if part.end > part.start]


def _marked(text: str, part: Part) -> Part:
    empty = part.role in REASONED and not re.search(r"[^\W_]", text[part.start : part.end])
    return Part(part.start, part.end, "markup") if empty else part


def _first_of_the_answer(text: str, reading: Reading) -> int:
    """Which span first states the answer that stands in the end."""
    if not reading.statements:
        return 0
    last = reading.statements[-1]
    seen: list[tuple[int, int]] = []
    for statement in reading.statements:
        span = _span(text, reading, statement)
        if not seen or span[0] >= seen[-1][1]:
            seen.append(span)
        if statement.choice.options == last.choice.options and statement.choice.said == last.choice.said:
            return len(seen) - 1
    return len(seen) - 1


def _answer_spans(text: str, reading: Reading) -> list[tuple[int, int]]:
    """Spans of the sentences that state an answer, in the text, in order, none in another."""
    spans: list[tuple[int, int]] = []
    for statement in reading.statements:
        start, end = _span(text, reading, statement)
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _span(original: str, reading: Reading, statement: Statement) -> tuple[int, int]:
    """The sentence of a statement, in the text."""
    folded, text = reading.folded, reading.folded.text
    start = _begin(text, statement)
    end = _finish(text, statement)
    first = folded.end[start - 1] if start else 0
    last = folded.start[end] if end < len(text) else None
    if last is None:
        last = reading.end - reading.offset
    first, last = first + reading.offset, last + reading.offset
    closing, opening = _CLOSING.match(original, last), _OPENING.search(original, 0, first)
    if opening and opening.group().strip() and opening.start() >= reading.offset:
        first = opening.start() + 1
    return first, closing.end() if closing else last


def _begin(text: str, statement: Statement) -> int:
    """Where the answer's sentence begins, without a reason before it, with the marks and label before it."""
    start = sentence_start(text, statement.start)
    cut = start
    for match in _BREAK.finditer(text, start, statement.start):
        cut = match.end()
    reason = _SO_SINCE.sub("", text[start:cut])
    own = cut == statement.start and _VERB_CUE.match(text, cut)  # "the best drug for a child, who has it, is"
    if not own and len(re.findall(r"\w+", reason)) >= _CLAIM_WORDS and not _EMPTY_OPENING.match(reason):
        return cut
    line = text.rfind("\n", 0, start) + 1
    if _MARK.fullmatch(text, line, start):
        start = line
    above = text[:start].rstrip()
    head = above.rfind("\n") + 1
    if start == line and len(above) - head < 60 and above[head:] and _LABEL_LINE.fullmatch(above, head):
        start = head
    return start


def _finish(text: str, statement: Statement) -> int:
    """Where the answer's sentence ends; a reason behind the answer is left out."""
    at = statement.choice.end
    stop = re.compile(r"[.!?][\"')\]}]*(?=\s|$)|\n|$").search(text, at)
    assert stop is not None  # every text has an end
    end = stop.start() if stop.group() == "\n" else stop.end()
    reason = _REASON.match(text, at, end)
    if reason and len(re.findall(r"\w+", text[at:end])) >= _CLAIM_WORDS:
        return reason.end("mark")
    marks = re.compile(r"[^\w\n]*(?=\n|$)").match(text, end)
    return marks.end() if marks else end
