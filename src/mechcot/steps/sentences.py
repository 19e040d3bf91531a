"""Sentences of a text, in any script: a kept segmenter, and the few places where steps need more.

Each line is read by `sentencex` (Wikimedia; MIT), without the marks that are no part of the sentence.
It knows the full stops of the scripts, quotations and many abbreviations. `_ends` overrules it, in both
directions, where what a step is depends on it: abbreviations and lone letters (`steps.abbreviations`),
marks of lists, brackets and ellipses.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

from mechcot.steps import abbreviations as known
from mechcot.steps.markup import DROPPED, Span, lines, wholes

_NEAR = 100  # characters on each side that decide: a line without an end costs no more than its length
_STOPS = "。！？｡؟۔।॥։።።။។༎෴"  # these end a sentence wherever they stand
_CLOSERS = "\"'”’»«“›‹)\\]}〉》」』）】"
_OPENERS = "“‘「『（(《〈【"  # behind those full stops
_PLACE = re.compile(
    rf"(?<![.!?…])(?P<stop>[.!?…]++)(?P<closers>[{_CLOSERS}]*+)(?=\s)"
    rf"|(?P<other>[{_STOPS}]++[!?]*+|(?<=[\u0370-\u03ff])[;\u037e](?=\s+[\u0370-\u03ff]))"  # Greek asks so
    rf"(?P<behind>(?:(?![{_OPENERS}])[{_CLOSERS}])*+)"
)
# The segmenter cuts nothing between single quotes, and nothing in a line that begins with (A) or a bullet.
_UNHEARD = re.compile(r"['’‘]|(?<=\d)\"|^\s*(?:[•◦‣▪●·]\s*)?\([^\W_]{1,4}\)|^\s*[•◦‣▪●·]|(?<![(\w])\d{1,2}\)")
_ROW = re.compile(r"\s*\|.*\|\s*")  # of a table
_TIME_ZONE = re.compile(r"(?:[A-Z]{1,4}T|UTC)\b")
_NOTE = re.compile(r"\.\s*\[[\d,;–\s-]+\]\Z")
_OPENING = re.compile(r"\s*[\"'“‘«„(\[{¿¡]*")
_WORD = re.compile(r"[^\W_](?:[\w.’'&-]*\w)?$|[.\w]*\w$")
_LIST_MARK = re.compile(r"\W*(?:\d{1,3}|[^\W\d_]|[ivxIVX]{1,4})")
_LABEL = re.compile(
    r"\W*(?:step|option|choice|question|part|point|case|claim)\s+(?:\d{1,3}|[A-Za-z])", re.IGNORECASE
)
_NEXT_MARK = re.compile(r"\d{1,2}[.)]\s")
_DOTTED = re.compile(r"[^\W\d_]{1,4}(?:\.[^\W_]{1,4})+")  # b.i.d., q.6h.
_FACTORIAL = re.compile(r"[=+*/^<>≤≥×·,;-]")
_JOURNAL = re.compile(  # "Care Med." or "Acta 1976" behind "Crit."
    r"(?P<plain>(?:[A-Z][\w-]*\s+(?:of\s+|and\s+|&\s+)?){0,2})"
    r"(?:(?P<short>[A-Z][\w-]*)\.|(?:(?:19|20)\d\d|\d+\s*[(:;,]\s*\d|vol\.))"
)
_ORDINAL = re.compile(r"(?<!\bI )\b(?:[Aa]m|[Dd]e[rnms]|[Vv]om|[Zz]um|[Ii]m)\s+\d{1,2}$")  # am 3. Mai
_DAY = re.compile(r"(?:.*\D)?\d{1,2}\.\d{1,2}", re.DOTALL)  # am 13.05. ging er
_SPECIES = re.compile(r"(?:.*\W)?[A-Z]\.\s?[a-z]+", re.DOTALL)  # C. diff. is
_NUMBERED = re.compile(r"\d+(?:\s+(?:is|was|are|were|has|in|on|of|and|to)\b|[,:;)])")
_LONE = re.compile(r"[^\W\d_](?!\w)|[IVX]{1,4}\b")
_INITIAL = re.compile(r"[^\W\d_]\.")


def sentences(text: str) -> Iterator[Span]:
    """Spans of a text's sentences, blanks around them included; a line's end ends a sentence too."""
    whole = wholes(text)
    for start, end in lines(text, whole):
        if _ROW.fullmatch(text, start, end):
            yield start, end
            continue
        first = bisect_left(whole, (start, start))
        inside = []
        while first < len(whole) and whole[first][1] <= end:
            inside.append((whole[first][0] - start, whole[first][1] - start))
            first += 1
        at = start
        for cut in _cuts(text[start:end], inside):
            yield at, start + cut
            at = start + cut
        yield at, end


def _cuts(line: str, inside: list[Span]) -> Iterator[int]:
    """Where a line is cut, ascending."""
    bare, origin = _bare(line, inside)
    found = get_sentence_boundaries("en", _UNHEARD.sub(lambda mark: "x" * len(mark.group()), bare))
    judged = {len(b["text"].rstrip()) + b["start_index"] for b in found}
    places = {place.end(): place for place in _PLACE.finditer(bare)}
    start, last = 0, len(bare.rstrip())
    for end in sorted(judged | places.keys()):
        place = places.get(end)
        if end >= last:
            return
        if place is None:
            ends = _ends_elsewhere(bare, start, end)
        else:
            ends = _ends(bare, start, place, not judged.isdisjoint(range(place.start() + 1, end + 1)))
        if not ends:
            continue
        # Dropped marks behind a sentence's end are its own, before a word they are the word's.
        yield origin[end] if bare[end].isspace() else origin[end - 1] + 1
        start = end


def _bare(line: str, inside: list[Span]) -> tuple[str, list[int]]:
    """A line with a letter for each whole and without dropped marks, and where each character stood."""
    parts, origin, at = [], [], 0
    marks = [(m.start(), m.end(), "") for m in DROPPED.finditer(line)]
    whole = [(start, end, _instead(line[start:end])) for start, end in inside]
    for start, end, instead in sorted([*whole, *marks], key=lambda mark: (mark[0], -mark[1])):
        if start < at:
            continue
        parts += [line[at:start], instead]
        origin += [*range(at, start), *([end - 1] * len(instead))]
        at = end
    return "".join([*parts, line[at:]]), [*origin, *range(at, len(line))]


def _instead(whole: str) -> str:
    """A letter, with the full stop that a formula or code ends in: "$x = 1.$"."""
    stop = re.search(r"([.!?])[`$\\)\]]+\Z", whole)
    return "x" + (stop[1] if stop else "")


def _ends_elsewhere(bare: str, start: int, end: int) -> bool:
    """Whether a cut of the segmenter's own is kept: "high?|Yes", "known. [1]|", not "т.|е."."""
    stop, after = bare[end - 1], bare[end]
    note = _NOTE.search(bare, max(start, end - _NEAR), end)
    if note:
        return _after_word(*_around(bare, start, note.start(), end)) is not False
    if stop in _OPENERS:
        return False
    if stop == ".":
        return after.isupper() and len(_word(_around(bare, start, end - 1, end)[0])) != 1
    return bool(re.fullmatch(rf"[!?…{_STOPS}{_CLOSERS}]", stop)) and not re.fullmatch(f"[{_CLOSERS}]", after)


def _ends(bare: str, start: int, place: re.Match[str], judged: bool) -> bool:
    """Whether a sentence that begins at `start` ends at a full stop; `judged`: so says the segmenter."""
    if place["other"]:
        if place["behind"][-1:] in ("）", ")"):
            return bare[start:].lstrip()[:1] in ("（", "(")
        after = bare[place.end()]  # "好。”然后": the segmenter knows
        return judged or not place["behind"] or after.isspace() or after in _OPENERS
    before, follows = _around(bare, start, place.start(), place.end())
    trails = "…" in place["stop"] or ".." in place["stop"]
    if trails and before[-1:].isspace() and before.strip():  # 1 + 2 + ... + n
        return follows[:1].isupper() and not re.match(r"I\b", follows)
    if not before or before[-1].isspace():  # a text in tokens: "it is low . so it is high ."
        return place["stop"] == "." or bool(before.strip())
    if not follows:
        return False
    if trails:
        return follows[0].isupper()
    if place["stop"] == ".":
        known_word = _after_word(before, follows)
        if known_word is not None:
            return known_word
    if place["stop"] == "!" and _FACTORIAL.match(follows):
        return False
    if _NEXT_MARK.match(follows):
        return True
    if place["closers"]:  # "Is it?" she asked. "Yes." Then she left.
        return not follows[0].islower()
    return judged


def _around(bare: str, start: int, stop: int, end: int) -> tuple[str, str]:
    """What a place's decision rests on: the words before it, and those after it without what opens them."""
    opened = _OPENING.match(bare, end)
    at = opened.end() if opened else end
    return bare[max(start, stop - _NEAR) : stop], bare[at : at + _NEAR]


def _after_word(before: str, follows: str) -> bool | None:
    """Whether the word before a full stop ends the sentence; None: it says nothing about it."""
    word, opens = _word(before), _opens(follows)
    if _LIST_MARK.fullmatch(before):
        return False
    if _LABEL.fullmatch(before) and not (word.isalpha() and opens):
        return False
    if len(word) == 1 and word.isalpha():
        return _after_letter(before[: -len(word)], word, follows, opens)
    small, digit = follows[0].islower(), follows[0].isdigit()
    if word in ("no", "No") and (
        not digit or (re.fullmatch(rf"\s+{word}", before) and not _NUMBERED.match(follows))
    ):  # Is it? No. 5 mg is too much. No. 2 is E. coli.
        return True
    if _in(word, known.ALWAYS):
        return False
    if _in(word, known.CLOSING):
        return not (small or _TIME_ZONE.match(follows))
    if small and (_SPECIES.fullmatch(before) or _DAY.fullmatch(before)):
        return False
    if not opens and _ORDINAL.search(before) and word.isdigit():
        return False
    if _of_journal(before, word):
        return not (small or digit or (not opens and _names_journal(follows)))
    if _in(word, known.NAMES) or (_DOTTED.fullmatch(word) and not word.islower()):
        return opens and not small
    if _in(word, known.REFERENCES):
        return not (small or digit or _LONE.match(follows) is not None)
    if _in(word, known.SHORT) or _DOTTED.fullmatch(word):
        return not (small or digit)
    return None


def _of_journal(before: str, word: str) -> bool:
    """Whether a word belongs to a journal's short name, or an ordinary one follows one: "Dis. Child."."""
    if word in known.JOURNALS:
        return True
    last = before[: -len(word)].split()[-1:] if word[:1].isupper() else []
    return bool(last and last[0].endswith(".") and last[0][:-1] in known.JOURNALS)


def _names_journal(follows: str) -> bool:
    """Whether a text goes on with a journal's name."""
    found = _JOURNAL.match(follows)
    if found is None or not found["plain"] or found["short"] is None:
        return found is not None
    return len(found["short"]) == 1 or found["short"] in known.JOURNALS


def _after_letter(before: str, letter: str, follows: str, opens: bool) -> bool:
    """Whether a lone letter ends its sentence ("vitamin D.") or begins a name ("J. Smith", "E. coli")."""
    said = before.split()
    last = said[-1].strip("\"'“‘(") if said else ""
    lettered = last.lower().rstrip(".") in known.LETTERED
    if _INITIAL.match(follows) or letter in "pv":  # z. B., J. K. Rowling, p. 12, Roe v. Wade
        return False
    if not follows[0].isupper():
        return lettered
    if opens or lettered or letter.islower():
        return True
    if _INITIAL.fullmatch(last):
        return False
    if last[:1].isupper() and not (last.isupper() and last.isalpha() and len(last) > 1):
        return False  # John F. Kennedy
    if last.lower() in ("and", "or") and len(said) > 1:
        return len(said[-2].strip("(),*")) == 1  # A and B.
    if last.lower() in known.BEFORE_INITIALS or not last or last[-1] in ":;(":
        return False
    if last.lower() in ("is", "are", "be"):  # the answer is B. Aspirin
        return letter in "XYZ"
    return letter in "ABCDEFGHXYZ"


def _word(before: str) -> str:
    found = _WORD.search(before)
    return found.group() if found else ""


def _opens(follows: str) -> bool:
    found = re.match(r"[^\W\d_]+", follows)
    return found is not None and found.group().lower() in known.OPENERS


def _in(word: str, table: frozenset[str]) -> bool:
    """Whether a table holds a word, or the same with a small first letter ("Max. dose")."""
    return word in table or (word[1:].islower() and word[:1].lower() + word[1:] in table)
