"""The rules that read an answer off, first the one that the prompt asks for.

A rule yields statements in the order of the text. Firm ones can mean nothing but the answer; the others
are looked at only where no firm one speaks.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from mechcot.tasks.answers.cases import in_cases
from mechcot.tasks.answers.choices import FOLLOW, Choice, Menu, choice_at, either
from mechcot.tasks.answers.fold import BOX, Folded
from mechcot.tasks.answers.language import Language
from mechcot.tasks.answers.phrases import LANGUAGES, phrases
from mechcot.tasks.answers.statements import Statement, commits, sentence_start
from mechcot.tasks.base import PromptFormat

Found = tuple[int, Choice, str]
"""Where the cue begins, what it names, and the cue's language."""


@dataclass(frozen=True)
class Rule:
    """One way in which answers are given.

    Attributes:
        name: of the rule, as it stands in the traces table.
        firm: whether its words can mean nothing but the answer.
        find: its places in a text.
        denied: whether a "not" before the cue denies it.
    """

    name: str
    firm: bool
    find: Callable[[str, Folded, Menu, PromptFormat], Iterator[Found]]
    denied: bool = True


def statements_of(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> list[Statement]:
    """Every place where a text commits to an option, by the strictest rule that finds it, in order.

    A place that one rule's words make a condition or a denial commits to nothing by any other. Soft words
    name no option by a sign that may mean something else.
    """
    found: dict[int, Statement] = {}
    void: set[int] = set()
    for rule in RULES:
        for start, choice, code in rule.find(original, folded, menu, form):
            if not rule.firm and _may_be_a_value(folded.text, choice, menu):
                continue
            if not commits(folded.text, start, choice, code, rule.denied):
                void.add(choice.end)
            elif choice.end not in void:
                if not menu.open:
                    choice = in_cases(folded.text, sentence_start(folded.text, start), choice, code, menu)
                found.setdefault(choice.end, Statement(rule.name, rule.firm, start, choice))
    return sorted(found.values(), key=lambda statement: statement.choice.start)


def _may_be_a_value(text: str, choice: Choice, menu: Menu) -> bool:
    """Whether a bare number or letter may be what was worked out, not an option's: "5 - 2, so 3."."""
    if not choice.plain:
        return False
    said = text[choice.start : choice.end]
    line = text[text.rfind("\n", 0, choice.start) + 1 :].partition("\n")[0]
    if said.isdigit():
        return said != text.strip(" .\n")
    return said != line.strip(" .") and (said.islower() or said in menu.others)


# --- cues of each language ------------------------------------------------------------------------


def _heard(text: str, *kinds: str) -> set[str]:
    """Languages of which a text holds a word of these kinds: the patterns of no other need be tried."""
    low = text.lower()
    return {
        language.code
        for language in LANGUAGES
        if any(word in low for kind in kinds for word in getattr(language, kind))
    }


@lru_cache(maxsize=1)
def _answer_cues() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((language.code, re.compile(_answer_cue(language))) for language in LANGUAGES)


def _answer_cue(language: Language) -> str:
    noun, verb = either(language.answer), either(language.verb)
    if not language.spaced:
        return (
            rf"{noun}(?:(?!{either(language.no)})[^\n.,;:!?()]){{0,8}}?(?:{verb}\s*:?|[:=\]]|-(?=\s)|\s)\s*"
        )
    stop = either((*language.no, *language.verb, *language.bad, "choices", "options"))
    gap = rf"(?:,?\s+(?!{stop})[^\s.,;:!?()]+){{0,6}}?"
    head = rf"(?m:^[^\w\n]*(?:\w+\s+){{0,2}}{noun}\s*$)\s*"  # a heading, or a label, the option behind it
    link = rf"[\"']?\s*(?:{verb}\s*:?|:|=>?|-+>|→|⇒|-(?=\s))"
    bare = rf"(?m:^[^\w\n]*(?:\w+\s+){{0,2}}{noun}[)\]]?\s+(?=[(\[]?[A-Z][)\]]?\.?\s*$))"
    last = rf"{noun}\s+(?=[(\[]?[A-Z](?!\w))|" if language.verb_last else ""
    return rf"{last}{noun}{gap}\s*,?\s*{link}|{head}|{bare}"


def _strict(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    """The pattern that the prompt asks for; what it takes must be an option, not the start of a word."""
    for match in re.finditer(form.answer_pattern, original):
        at = bisect_left(folded.start, match.start("answer"))
        begin = bisect_left(folded.start, match.start())
        opened = at > 0 and folded.text[at - 1] in "(["
        choice = choice_at(folded.text, at - opened, menu)
        if choice is not None and choice.start <= at:
            yield begin, choice, _language_of(folded.text[begin:at])


def _language_of(cue: str) -> str:
    return next((code for code, pattern in _nouns() if pattern.search(cue)), "en")


@lru_cache(maxsize=1)
def _nouns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((language.code, re.compile(either(language.answer))) for language in LANGUAGES)


def _answer(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    """As in "The correct answer is B", "Answer: B", or a heading "Final answer" above the option."""
    heard = _heard(folded.text, "answer")
    for code, pattern in _answer_cues():
        if code not in heard:
            continue
        for match in pattern.finditer(folded.text):
            choice = choice_at(folded.text, match.end(), menu)
            if choice is not None and not _is_list(folded.text, choice, menu):
                yield match.start(), choice, code
    if not menu.open:
        yield from _instead(folded.text, menu, heard)


@lru_cache(maxsize=1)
def _instead_cues() -> tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...]:
    cues = []
    for language in LANGUAGES:
        denied = rf"[^\n.!?;]{{0,40}}{either(language.no)}\s*(?:{either(language.verb)}\s+)?"
        if language.code in ("ja", "ko"):  # what denies stands behind the option
            denied = rf"[^\n.!?;]{{0,8}}?{either(language.verb)}\s*"
        but = rf"[\s,;]*{either(language.but)}\s*"
        cues.append((language.code, re.compile(either(language.answer) + denied), re.compile(but)))
    return tuple(cues)


def _instead(text: str, menu: Menu, heard: set[str]) -> Iterator[Found]:
    """As in "The answer is not A but B"."""
    for code, denied, but in _instead_cues():
        if code not in heard:
            continue
        for match in denied.finditer(text):
            first = choice_at(text, match.end(), menu, loose=True)
            link = but.match(text, first.end) if first else None
            second = choice_at(text, link.end(), menu) if link else None
            if second is not None and _ends(text, second):
                yield match.start(), second, code


def _boxed(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    r"""`\boxed{B}` and `<answer>B</answer>`."""
    for match in re.finditer(BOX, folded.text):
        choice = choice_at(folded.text, match.end(), menu)
        if choice is not None and re.match(r"[^\n}]{0,80}\s*\}", folded.text[choice.end :]):
            yield match.start(), choice, "en"


def _hash(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    """`#### 42`, as solutions of GSM8K end."""
    for match in re.finditer(r"(?m)^\s*####\s+(?=\S[^\n]{0,60}$)", folded.text):
        choice = choice_at(folded.text, match.end(), menu)
        if choice is not None and folded.text[choice.end :].split("\n")[0].strip(" .)") == "":
            yield match.start(), choice, "en"


@lru_cache(maxsize=1)
def _choose_cues() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (language.code, re.compile(rf"(?:{either(language.choose)})\s*(?:{either(language.verb)})?\s*:?\s*"))
        for language in LANGUAGES
    )


def _choose(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    """As in "I choose B" and "we go with option B"."""
    heard = _heard(folded.text, "choose")
    for code, pattern in _choose_cues():
        if code not in heard:
            continue
        for match in pattern.finditer(folded.text):
            choice = choice_at(folded.text, match.end(), menu)
            if choice is not None and not _is_list(folded.text, choice, menu):
                yield match.start(), choice, code


_WORD = re.compile(rf"(?:{either(phrases('option'))}\W*)?")
_PLACE = re.compile(
    rf"(?:{either(phrases('option'))}\s*)?[(\[]?(?<![A-Za-z0-9_])[A-Za-z](?![A-Za-z0-9_])[)\]]?"
)


_BEFORE = (
    *phrases("so"),
    *phrases("option"),
    "that",
    "think",
    "believe",
    "only",
    "and",
    "makes",
    "the",
    "a",
    "an",
)
_BEGINS = re.compile(rf"(?:^|[.,;:!?\n(>-]|{either(_BEFORE)})\s*$")
_NONE = re.compile(r"(?i:(?<!\w)(?:none|neither)(?!\w))")
_OF_OTHERS = ("most common", "most important")  # said of wrong options too


@lru_cache(maxsize=1)
def _right_cues() -> tuple[tuple[str, re.Pattern[str]], ...]:
    cues = []
    for language in LANGUAGES:
        good = either((*language.good, *(word for word in language.best if word not in _OF_OTHERS)))
        article = r"(?i:the|la|le|el|il|o|a|die|der|das)"
        more = rf"(?:\s+(?!to\b|in\b|of\b|{either(language.bad)})\w+){{0,3}}?"
        tail = rf"{more}\s*(?=[.,;:!?)\n]|$|{either(language.reason)})"
        adverb = rf"(?:\w+ly|{either(language.so)})\s+"
        verb = rf"(?:\s*,?\s*{either(language.verb)}\s+(?:{adverb})?(?:{article}\s+)?)"
        if not language.spaced:
            verb, tail = rf"\s*(?:{either(language.verb)})?", ""
        elif language.code in ("hi", "ar", "ru"):
            verb = rf"\s*(?:-\s*)?(?:{either(language.verb)}\s+)?"
        cues.append((language.code, re.compile(rf"{verb}{good}{tail}")))
    return tuple(cues)


def _right(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    """As in "(B) is right" and "option B is the best answer"."""
    heard = _heard(folded.text, "good", "best")
    cues = [cue for cue in _right_cues() if cue[0] in heard]
    places = {match.start() for match in _PLACE.finditer(folded.text)}
    places |= {match.start() for pattern, _ in menu.texts for match in pattern.finditer(folded.text)}
    for at in sorted(places):
        choice = choice_at(folded.text, at, menu, loose=True)
        if choice is None or not _WORD.fullmatch(folded.text, at, choice.start):
            continue
        if (choice.plain or not choice.labelled) and not _BEGINS.search(folded.text, max(at - 30, 0), at):
            continue  # the end of something longer: "vitamin C is right"
        if _NONE.search(folded.text, sentence_start(folded.text, at), at):
            continue  # "none of the options (A, B, C) is right"
        code = next((code for code, pattern in cues if pattern.match(folded.text, choice.end)), None)
        if code is not None:
            yield at, choice, code


@lru_cache(maxsize=1)
def _conclusion_cues() -> tuple[tuple[str, re.Pattern[str], re.Pattern[str], re.Pattern[str]], ...]:
    return tuple(
        (
            language.code,
            re.compile(rf"{either(language.so)}\s*[,:]?\s*"),
            re.compile(rf"(?:{either(language.verb)}\s*:?|:)"),
            re.compile(either((*language.so, *language.best, *language.good))),
        )
        for language in LANGUAGES
    )


def _conclusion(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    """As in "Therefore (B)." and "the most likely diagnosis is:", the option behind it."""
    if menu.open:
        return
    text = folded.text
    heard = _heard(text, "so", "best", "good")
    for code, so, verb, concludes in _conclusion_cues():
        if code not in heard:
            continue
        for match in so.finditer(text):
            choice = choice_at(text, match.end(), menu)
            if choice is not None and _ends(text, choice):
                yield match.start(), choice, code
        for match in verb.finditer(text):
            choice = choice_at(text, match.end(), menu)
            if choice is None or not _ends(text, choice) or _is_list(text, choice, menu):
                continue
            head = text[sentence_start(text, match.start()) : match.start()]
            if concludes.search(head) and not _LISTS.search(head):
                yield match.start(), choice, code


_LISTS = re.compile(r"(?i:options|choices|following|answers)\s*(?:are)?\s*$")
_VERB_NEXT = re.compile(rf"\s*,?\s*{either(phrases('verb', spaced=True))}")


def _ends(text: str, choice: Choice) -> bool:
    """Whether nothing is said of the choice behind it: "(A) is unlikely" concludes nothing."""
    if choice.labelled and not choice.plain:
        return not _VERB_NEXT.match(text, choice.end)
    return bool(FOLLOW.match(text, choice.end))


def _is_list(text: str, choice: Choice, menu: Menu) -> bool:
    """Whether the choice is the first of options written below one another."""
    line_end = text.find("\n", choice.end)
    if line_end < 0 or "\n" not in text[max(choice.start - 12, 0) : choice.start]:
        return False
    after = re.compile(r"\s*[-•]?\s*").match(text, line_end)
    other = choice_at(text, after.end() if after else line_end, menu, loose=True)
    return bool(other and other.labelled and not other.plain and other.options != choice.options)


def _line(original: str, folded: Folded, menu: Menu, form: PromptFormat) -> Iterator[Found]:
    """The option alone on the last line, or on the first."""
    lines = [(m.start(), m.end()) for m in re.finditer(r"[^\n]*\S[^\n]*", folded.text)]
    for number in dict.fromkeys((0, len(lines) - 1)):
        if not lines or (menu.open and (number == 0 or lines[number][1] - lines[number][0] > 40)):
            continue
        start, end = lines[number]
        first = re.compile(r"[^\w(\[\"'<-]*(?:-+\s+)?").match(folded.text, start)
        at = first.end() if first else start
        choice = choice_at(folded.text, at, menu, loose=True)
        if choice is None or choice.start > at + 8 or choice.end > end:
            continue
        if re.search(r"\w", folded.text[choice.end : end]) or _among_options(
            folded.text, lines, number, menu
        ):
            continue
        yield at, choice, "en"


def _among_options(text: str, lines: list[tuple[int, int]], number: int, menu: Menu) -> bool:
    """Whether the line beside it begins with an option's letter too: then it is one of a list."""
    beside = number + 1 if number == 0 else number - 1
    if not 0 <= beside < len(lines):
        return False
    first = re.compile(r"[^\w(\[\"'<]*").match(text, lines[beside][0])
    other = choice_at(text, first.end() if first else lines[beside][0], menu, loose=True)
    return bool(other and other.labelled and not other.plain and other.end <= lines[beside][1])


RULES = (
    Rule("strict", True, _strict),
    Rule("answer", True, _answer),
    Rule("boxed", True, _boxed),
    Rule("hash", True, _hash),
    Rule("choose", False, _choose),
    Rule("right", False, _right),
    Rule("conclusion", False, _conclusion, denied=False),
    Rule("line", False, _line),
)
"""Every rule, the strictest first: where two find the same place, the first names it."""
