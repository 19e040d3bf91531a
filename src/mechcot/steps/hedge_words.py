"""Hedges, marks of certainty and the first person in a text: a lexicon with its exceptions, a row a language.

A hedge marks what its writer says as uncertain. What looks like one and is none is taken out first: the
superlative of a question's own form ("the most likely diagnosis"), denials ("not likely"), ability and
permission ("could not remember", "may be given"), months, questions and headings. Words of all languages are
looked for at once. How often this agrees with readers is measured: `scripts/hedge_words.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

VERSION = 1
"""Of the lexicon; it stands in results, and a change of any pattern raises it."""
KINDS = ("hedge", "certain", "first_person")


@dataclass(frozen=True)
class Lexicon:
    """The patterns of one language, each matched at the borders of words, whatever the case.

    Attributes:
        name: of the language.
        hedge: marks of uncertainty.
        certain: marks of certainty, the control of tone in the other direction.
        first_person: the writer speaks of themselves or of us, a control of manner alone.
        none: what is no hedge though it holds a word of one.
    """

    name: str
    hedge: tuple[str, ...]
    certain: tuple[str, ...]
    first_person: tuple[str, ...]
    none: tuple[str, ...]


_STAR = r"\*{0,3}"  # emphasis of Markdown; bounded, for stars alone would take quadratic time
_DONE = (
    "given|taken|used|administered|repeated|removed|offered|prescribed|added|started|obtained|performed|ordered|"
    "considered|discharged|stopped|continued|dissolved|mixed|chosen|called"
)

ENGLISH = Lexicon(
    "en",
    hedge=(
        "may", "might", "could", "perhaps", "maybe", "probabl[ey]", "possibl[ey]", "possibility", "likely",
        "presumabl[ey]", "potentially", "plausibl[ey]", "conceivabl[ey]", "arguably", "apparently",
        "seemingly",
        r"seem(?:s|ed)?", r"appear(?:s|ed)?", r"suggest(?:s|ed|ing|ive)?", r"suspects?",
        r"(?:rais\w+|high|strong|some|clinical)(?: \w+){0,2} suspicion (?:for|of|that)",
        r"(?:I|we) (?:think|believe|guess|suppose|assume|would (?:guess|say|think))",
        r"(?:I['’]d|I['’]ll) (?:guess|say|think|assume)", "will assume",
        "uncertain", "unclear", "unsure", r"not (?:\w+ )?(?:sure|certain|clear)",
        r"in (?:my|our) (?:opinion|view)",
    ),
    certain=(
        "definitely", "certainly", "clearly", "undoubtedly", "obviously", "surely", "unquestionably",
        "evidently",
        r"without (?:a |any )?doubt", "no doubt", r"must be", r"confirm(?:s|ed)?", "pathognomonic",
        r"diagnostic (?:of|for)", r"prov(?:es|en)", r"establish(?:es|ed)", "always", "conclusively",
    ),
    first_person=(
        "I", r"I['’](?:m|d|ll|ve)", "me", "my", "we", r"we['’](?:re|d|ll|ve)", "our", "us", r"let['’]s",
    ),
    none=(
        rf"(?:most|least) {_STAR}(?:likely|probabl[ey]|plausibl[ey])", r"(?:the|this|its|his|her) likely",
        r"(?:not|less|hardly|\w+n['’]t) (?:(?:very|as|so|at all) )?(?:likely|probabl[ey]|possibl[ey])",
        r"(?:option|statement|choice|answer|question) (?:\w+ )?suggests?",
        r"could not(?= (?:remember|recall|move|walk|speak|see|find|sleep|feel|breathe)\b)",
        r"(?:could|might) not have been",
        r"likely (?:candidates?|options?|causes|answers|diagnoses)", r"highly unlikely",
        rf"may (?:also |then |still )?be (?:safely |cautiously )?(?:{_DONE})", rf"could be (?:{_DONE})",
        r"may (?:leave|return|resume|eat|drink|go home|proceed|enter)",
        r"(?:as \w+ as|if|where|whenever|when|every|other|all|any) possible",
        r"possible (?:causes|options|answers|diagnoses|choices|explanations|values|reasons|outcomes)",
        r"(?:how|whether|why|what|where|when)\b[^.;:!?\n]{0,60}? (?:may|might|could)",
        r"(?:no|any|without|not)\b[^.;:!?\n]{0,60}? (?:suggest(?:s|ed|ing|ive)?|suspicion)",
        r"(?:where|when|if|case of|patients? with|with)\b[^.;:!?\n]{0,15}? suspicion",
        r"(?:appear(?:s|ed)?)(?= (?:in|on|at|around|after|during|within|when|before|as early|later)\b)",
        r"(?:rash|rashes|lesions?|eruptions?|teeth|spots?) (?:\w+ )?appear(?:s|ed)?",
        r"(?:I|we) suggest (?:\w+ing|that (?:you|we)|the following)", r"suggested (?:dose|reading|answer)",
    ),
)  # fmt: skip

GERMAN = Lexicon(
    "de",
    hedge=(
        "vielleicht", "möglicherweise", "vermutlich", "wahrscheinlich", "wohl", "eventuell", "womöglich",
        "unter Umständen", "könnten?", "dürften?", "scheint", "scheinen", "schien(?:en)?", "anscheinend",
        "scheinbar", "mutmaßlich", "denkbar", "unklar", "unsicher", r"deute[nt]\b[^.;:!?\n]{0,80}? hin",
        r"hinweisend auf", r"(?:legt|legen|lege)\b[^.;:!?\n]{0,80}? nahe", r"sprech(?:en|t) (?:eher )?für",
        r"spricht (?:eher |am ehesten )?für", r"verdächtig auf", r"Verdacht auf", r"am ehesten",
        r"nicht (?:ganz |völlig )?(?:sicher|klar)", r"ich (?:glaube|denke|vermute|nehme an|schätze)",
        r"meiner Meinung nach", r"möglich(?:e[rsn]?)?",
    ),
    certain=(
        "sicherlich", "zweifellos", "eindeutig", "offensichtlich", "gewiss", "bestimmt", "definitiv",
        "ohne Zweifel", r"beweis(?:t|en)", r"bestätig(?:t|en)", "pathognomonisch", "immer",
    ),
    first_person=("ich", "mich", "mir", r"mein(?:e[rsnm]?)?", "wir", "uns", r"unser(?:e[rsnm]?)?"),
    none=(
        r"nicht (?:sehr )?(?:wahrscheinlich|möglich)",
        r"(?:so|falls|wenn|soweit|sobald|wo) \w* ?(?:wie )?möglich",
        r"mögliche[rsn]? (?:Ursachen?|Antworten?|Diagnosen?|Optionen)",
        r"(?:wie|ob|warum|was|wo)\b[^.;:!?\n]{0,60}? (?:könnten?|dürften?)",
        r"sich (?:wohl|unwohl|sicher) fühl\w*", r"fühl\w*(?: \w+){0,2} (?:wohl|unwohl)",
        r"(?:kein|keine|keinen|ohne) (?:Verdacht|Hinweis)\w*\b[^.;:!?\n]{0,40}",
    ),
)  # fmt: skip

LEXICONS = (ENGLISH, GERMAN)


def _pattern(parts: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'’-])(?:{'|'.join(parts)})(?![\w-])", re.IGNORECASE)


_NONE = _pattern(part for one in LEXICONS for part in one.none)
_MONTHS = re.compile(r"\bMay (?=\d|of\b)|(?<=[ (])(?:in|since|until|by|last|next|early|late|mid|of) May\b")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_WORDS = {kind: _pattern(part for one in LEXICONS for part in getattr(one, kind)) for kind in KINDS}


def found_in(text: str, kind: str = "hedge") -> list[tuple[int, int]]:
    """Where a text hedges (or is certain, or speaks in the first person), character spans in order.

    Args:
        text: a step, a sentence or a trace.
        kind: one of `KINDS`.
    """
    if kind == "hedge":
        text = without(text)
    return [match.span() for match in _WORDS[kind].finditer(text)]


def without(text: str) -> str:
    """The text with what is no hedge blanked out, of the same length."""
    text = _SENTENCE.sub(lambda match: _blank(match) if match[0].endswith("?") else match[0], text)
    for pattern in (_MONTHS, _NONE):
        text = pattern.sub(_blank, text)
    return text


def unhedged(text: str) -> str:
    """The text with its hedges taken out: what is left need not be a sentence."""
    for start, end in reversed(found_in(text)):
        text = text[:start] + text[end:]
    return " ".join(text.split())


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])
