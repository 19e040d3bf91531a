"""Statements that commit to an option, and what keeps a sentence from being one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mechcot.tasks.answers.choices import Choice, either
from mechcot.tasks.answers.language import Language
from mechcot.tasks.answers.phrases import LANGUAGES

_STOP = re.compile(
    r"[.!?][\"')\]]*\s|\n\s*\n|\n(?=\s*(?:[-#>•]|\(?\w{1,3}[.)]\s))|\n(?=\s*[^\sa-z])"
    r"|\",\s*(?=\"\w+\"\s*:)"  # the next entry of a JSON object
)
_CLAUSE = re.compile(
    r"[,;:]\s|\s-\s|(?<!\w)(?i:so|therefore|thus|hence|then|because|and|but|daher|also|donc|quindi|portanto)(?!\w)"
)
_AHEAD = 8  # characters that tell whether a line end before them ends a sentence
_LONGEST = 1000  # characters of a sentence that are looked at
_STARTS = r"[\W\d_]*(?:(?i:and|but|so|now|then|however|or|also|note that|remember|again)(?!\w)[\W_]*)*"


@dataclass(frozen=True)
class Statement:
    """A place where a text commits to an option.

    Attributes:
        rule: name of the rule that found it.
        firm: whether the rule's words can mean nothing but the answer.
        start: where its cue begins, in the folded text.
        choice: what it names.
    """

    rule: str
    firm: bool
    start: int
    choice: Choice


@dataclass(frozen=True)
class _Doubt:
    """One language's words that keep a sentence from committing."""

    no: re.Pattern[str]
    unsure: re.Pattern[str]
    opens: re.Pattern[str]  # a condition that begins a sentence or a clause
    format: re.Pattern[str]  # an instruction, anywhere in the sentence
    bad: re.Pattern[str]
    after: re.Pattern[str]


def _doubt(language: Language) -> _Doubt:
    single = tuple(word for word in language.condition if " " not in word or not language.spaced)
    several = tuple(word for word in language.condition if word not in single)
    return _Doubt(
        no=re.compile(either(language.no)),
        unsure=re.compile(either(language.unsure)),
        opens=re.compile(_STARTS + either(language.condition)),
        format=re.compile(either(several) if several else r"(?!)"),
        bad=re.compile(either(language.bad) + r"[\s\w]{0,12}$"),
        after=re.compile(r"[\s,)]*(?:only\s+)?" + either(single)),
    )


_DOUBTS = {language.code: _doubt(language) for language in LANGUAGES}


def _back(language: Language) -> tuple[str, str]:
    """Words that take back wherever they stand, and those that do at the beginning of a sentence."""
    several = tuple(word for word in language.back if " " in word or not language.spaced)
    short = tuple(word for word in language.back if len(word) <= 3) or ("\0",)  # "no," but not "no other"
    rest = tuple(word for word in language.back if len(word) > 3) or ("\0",)
    opening = rf"(?:{either(short)}(?=[,.!:;-])|{either(rest)}(?=[\s,.!:;-]))"
    return either(several or ("\0",)), opening


_BACKS = [_back(language) for language in LANGUAGES]
_BACK = re.compile("|".join(rf"{within}|(?:^|[.!?\n;:-]\s*|\(\s*){opening}" for within, opening in _BACKS))
_BACK_NEXT = re.compile(rf"[\s.,;:!)\]\"'*-]*(?:{'|'.join(opening for _, opening in _BACKS)})")


def sentence_start(text: str, at: int) -> int:
    """Where the sentence that holds a character begins."""
    last = max(at - _LONGEST, 0)
    for match in _STOP.finditer(text, last, at + _AHEAD):
        if match.end() <= at and match.start() > last:
            last = match.end()
    return last


def commits(text: str, start: int, choice: Choice, code: str, denied: bool) -> bool:
    """Whether a sentence states its choice as the answer: not denied, asked, guessed, or made a condition.

    Args:
        text: folded.
        start: where the cue begins.
        choice: what it names.
        code: language of the cue.
        denied: whether a "not" before the cue denies it. It does not where the cue's subject is the
            question's own ("the drug that is not used is (B)").
    """
    doubt = _DOUBTS[code]
    sentence = text[sentence_start(text, start) : start]
    clause = sentence
    for match in _CLAUSE.finditer(sentence):
        clause = sentence[match.end() :]
    rest = text[choice.end :]
    if (denied and doubt.no.search(clause)) or doubt.unsure.search(clause) or doubt.bad.search(clause):
        return False
    if doubt.opens.match(sentence) or doubt.opens.match(clause) or doubt.format.search(sentence):
        return False
    if doubt.after.match(rest):
        return False
    end = re.search(r"[.!?](?=[\"')\]]*(?:\s|$))|\n", rest)
    return not (end and end.group() == "?")


def doubted(text: str, end: int) -> bool:
    """Whether what follows a statement at once takes it back."""
    return bool(_BACK_NEXT.match(text, end))


def taken_back(text: str, start: int, end: int) -> bool:
    """Whether words between two statements take the first one back."""
    return bool(_BACK.search(text[start:end]))
