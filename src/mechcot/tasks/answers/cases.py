"""One option in one case and another in the other.

"The answer for a child is B; for an adult, C." commits to neither. What the question itself sets
("for this patient", "in conclusion") is no condition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mechcot.tasks.answers.choices import Choice, Menu, choice_at, either
from mechcot.tasks.answers.language import Language
from mechcot.tasks.answers.phrases import LANGUAGES, phrases

_MOST_WORDS = 8  # of a condition, and of what links it to its option
_NEAR = 160  # characters between two cases
_NEXT_WORD = re.compile(r"\s*[,:]?\s*[^\s.,;:!?()\[\]]+")
_BRACKET = re.compile(r"\s*\((?=[^()\n]*[a-z])[^()\n]{2,60}\)")
_LINK = re.compile(r"[\s,:\"']*(?:(?:is|it is)\s)?")
_BOTH = either(phrases("both"))


@dataclass(frozen=True)
class _Words:
    """One language's words of conditions."""

    case: re.Pattern[str]  # where a condition begins
    otherwise: re.Pattern[str]
    denies: re.Pattern[str]
    parted: re.Pattern[str]  # what stands between two cases
    closes: re.Pattern[str]  # nothing is said of the option behind its condition
    right: re.Pattern[str]


def _of(language: Language) -> _Words:
    joint = either((*language.both, *language.but))
    verb = either(language.verb)
    begins = rf"(?!{either(language.so)}){either(language.case)}\s*(?!{either(language.ours)})(?=\w)"
    if not language.spaced:  # its word may stand behind the condition
        begins = rf"(?:{begins}|[^\s.,;:!?()]{{1,12}}?{either(language.case)})"
    right = rf"\s*(?:{verb}\s*)?{either((*language.good, *language.best))}"
    return _Words(
        case=re.compile(begins),
        otherwise=re.compile(rf"\s*{either(language.otherwise)}"),
        denies=re.compile(either((*language.no, *language.bad, *language.unsure))),
        parted=re.compile(
            rf"(?:[.;,/)}}\n]|(?<=[\s(]){joint})(?:\s*{joint})?[\s$]*(?:\w{{2,10}}\s+(?={begins}))?"
        ),
        closes=re.compile(rf"[\s\"'}}$]*(?:$|[.;!)\n/]|{right})"),
        right=re.compile(rf"(?:{right}|\s*{verb})?\s*,?\s*"),
    )


_WORDS = {language.code: _of(language) for language in LANGUAGES}


def in_cases(text: str, begin: int, choice: Choice, code: str, menu: Menu) -> Choice:
    """The choice of a statement, and with it the options that other cases beside it name.

    Args:
        text: folded.
        begin: where the statement's sentence begins.
        choice: what it names.
        code: its language.
        menu: the options.
    """
    said = _WORDS[code]
    before = [match.start() for match in said.case.finditer(text, begin, choice.start)]
    if not before and not _condition_behind(text, choice.end, said):
        return choice
    stop = min(choice.end + _NEAR, len(text))
    for parted in said.parted.finditer(text, choice.end, stop):
        goes_on = bool(before) and parted.group().startswith(";")  # "for a child B; an adult: C"
        other = _case_at(text, parted.end(), said, menu, opened=goes_on)
        if other is not None and not set(other.options) & set(choice.options):
            return _joined(choice, other)
    for at in before[:-1]:
        other = _case_at(text, at, said, menu)
        if other is not None and other.end <= before[-1] and not set(other.options) & set(choice.options):
            return _joined(choice, other)
    return choice


def _joined(choice: Choice, other: Choice) -> Choice:
    return replace(choice, options=(*choice.options, *other.options), labelled=True)


def _condition_behind(text: str, at: int, said: _Words) -> bool:
    follows = said.right.match(text, at)
    at = follows.end() if follows else at
    return any(pattern.match(text, at) for pattern in (said.case, said.otherwise, _BRACKET))


def _case_at(text: str, at: int, said: _Words, menu: Menu, *, opened: bool = False) -> Choice | None:
    """The option of a case that begins at a place: its condition first, or the option.

    `opened`: it is a case whatever it begins with.
    """
    direct = choice_at(text, at, menu, loose=True)
    if direct is not None and _condition_behind(text, direct.end, said):
        return direct
    begun = [match.end() for word in (said.otherwise, said.case) if (match := word.match(text, at))]
    if not begun and not opened:
        return None
    at = max(begun, default=at)
    for _ in range(_MOST_WORDS):
        linked = _LINK.match(text, at)
        choice = choice_at(text, linked.end() if linked else at, menu, loose=True)
        if choice is not None and said.closes.match(text, choice.end):
            return choice
        word = _NEXT_WORD.match(text, at)
        if word is None or said.denies.search(word.group()):
            return None
        at = word.end()
    return None
