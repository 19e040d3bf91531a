"""What is known of a language: its words by what they do in saying an answer."""

from __future__ import annotations

from dataclasses import dataclass

from mechcot.tasks.answers.fold import folded


@dataclass(frozen=True)
class Language:
    """The words of one language; a blank stands for any blanks.

    Attributes:
        code: of the language.
        answer: what is given: "answer".
        option: what an option is called before or after its letter.
        good: what is said of the right option: "correct", "best".
        best: what is said of what the question asks for: "most likely".
        bad: what is said of a wrong one.
        verb: what links the answer and the option, said or left out: "is".
        choose: "I choose".
        so: words that begin a conclusion.
        no: words that deny a clause.
        but: words between an option that is denied and the one in its place.
        reason: words that may follow the option: a reason, or the verb where it comes last.
        fill: words before the option that add nothing.
        condition: words that begin a condition; those of several words spoil a sentence wherever they stand.
        case: words that begin a case of several ("for an adult"); some may have nothing behind them.
        otherwise: words for all other cases.
        ours: words behind those of a case that make it the question's own ("for this patient").
        unsure: words that make a statement a possibility, or what others say.
        back: words that take back what was said.
        both: words between two options that are both meant.
        ask: what is written before a further question.
        numbers: the words for one, two, three and so on.
        spaced: whether blanks part its words.
        verb_last: whether the option's letter may stand right behind `answer`: the verb follows, or is in it.
    """

    code: str
    answer: tuple[str, ...]
    option: tuple[str, ...]
    good: tuple[str, ...]
    best: tuple[str, ...]
    bad: tuple[str, ...]
    verb: tuple[str, ...]
    choose: tuple[str, ...]
    so: tuple[str, ...]
    no: tuple[str, ...]
    but: tuple[str, ...]
    reason: tuple[str, ...]
    fill: tuple[str, ...]
    condition: tuple[str, ...]
    case: tuple[str, ...]
    otherwise: tuple[str, ...]
    ours: tuple[str, ...]
    unsure: tuple[str, ...]
    back: tuple[str, ...]
    both: tuple[str, ...]
    ask: tuple[str, ...]
    numbers: tuple[str, ...]
    spaced: bool = True
    verb_last: bool = False


def _words(text: str) -> tuple[str, ...]:
    """Phrases parted by commas, folded, long ones first: a pattern takes the first that fits."""
    found = (folded(phrase) for phrase in text.split(","))
    return tuple(sorted(found, key=len, reverse=True))


def language(code: str, *, spaced: bool = True, verb_last: bool = False, **words: str) -> Language:
    """A row of the table, its phrases given as texts with commas between them."""
    found = {name: _words(text) for name, text in words.items()}
    return Language(code, spaced=spaced, verb_last=verb_last, **found)
