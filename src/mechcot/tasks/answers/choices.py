"""An option named at a place of a folded text: by its letter, its number or its own text, or more than one.

A letter counts only where it cannot be the beginning of a word or a word itself: in brackets, after
"option", with its option's text, or before a mark, a line's end or a word such as "because".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from mechcot.tasks.answers.fold import BOX, folded
from mechcot.tasks.answers.phrases import phrases
from mechcot.tasks.answers.values import in_one_line
from mechcot.tasks.base import LETTERS, PromptFormat, Question

_ROMAN = {name: i for i, name in enumerate(["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"])}
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"


def either(words: tuple[str, ...]) -> str:
    """A pattern for any of the phrases, whole words where the language parts words by blanks or `_`."""
    parts = []
    for word in words:
        left = (
            "(?<![^\\W_])" if word[0].isalpha() and word != "n't" and not re.match(f"[{_CJK}]", word) else ""
        )
        right = "(?![^\\W_])" if word[-1].isalpha() and not re.match(f"[{_CJK}]", word[-1]) else ""
        parts.append(left + re.escape(word).replace(r"\ ", r"\s+") + right)
    return f"(?i:{'|'.join(parts)})"


_BOTH = rf"(?:\s*(?:[/&+]|{either(phrases('both'))})\s*)"
_REASON = either(phrases("reason"))
_PLEASED = r"[\u2611\u2705\u2713\u2714\U0001f300-\U0001f44d\U0001f44f-\U0001f64f\U0001f900-\U0001faff]"
"""Signs behind an option that do not call it wrong."""
FOLLOW = re.compile(
    rf"\s*(?:$|[,;:!?)\]}}|>\n]|[\"'](?!\w)|\.(?!\s?[a-z\d])|-\s|\(|{_REASON}|{_PLEASED})"
    rf"|{_BOTH}(?:[(\[]?[A-Z](?![\w'-])(?!\s+(?!{either(phrases('both'))}|{_REASON})[a-z])"
    rf"|{either(phrases('option'))})"
)
"""What may follow a bare letter, or an option's text, that is an answer."""
_TEXT_FOLLOW = re.compile(
    rf"\s*(?:$|[.;:!?)\]}}|\n](?!\d)|[\"'](?!\w)|-\s|\(|{_REASON})"
    rf"|\s*,\s*(?:{_REASON}|so\b|therefore\b|and (?:it|this|not)\b|option\b|\()"
)
_FILL = re.compile(
    r"\s+|[:=>#\"|]+|[\u2190-\u2bff\U0001f000-\U0001faff]+|-+(?=\s)|['](?=\w)|"
    rf"{either(phrases('fill'))}(?=[\s:,(\[\"]),?"
)
_JOINT = re.compile(_BOTH)
_JOINT_OR_COMMA = re.compile(rf"{_BOTH}|(?<=[)\]])(?=[(\[])|\s*,\s*(?:{either(phrases('both'))}\s*)?")
_NUMBER = re.compile(rf"\d|{either(phrases('numbers'))}")
_DENIED = either((*phrases("no"), *phrases("bad")))
_ARE = either(("are", *phrases("verb", spaced=True)))
_WRONG = re.compile(  # said of options behind the one that is meant: "B, and A, C and D are wrong"
    rf"(?:(?:,|{_BOTH})\s*[(\[]?[A-Z][)\]]?)*\s+{_ARE}\s+(?:\w+\s+)?{_DENIED}"
)
_OPTION = either(phrases("option"))
_LABEL = re.compile(
    rf"(?P<word>{_OPTION}\s*(?:(?i:number|no\.?)\s*)?[:#]?\s*)?"
    r"(?:(?P<open>[(\[<\"'{]){1,2}\s*(?P<inside>[A-Za-z]|\d{1,2}|[ivxIVX]{1,4})\s*\.?(?:[)\]]{1,2}|[>\"'}])"
    r"|(?P<half>[A-Za-z]|\d{1,2}|[ivxIVX]{2,4})\s?\)"
    r"|(?P<bare>[A-Za-z]|\d{1,2}|[IVX]{2,4})(?![A-Za-z0-9_'&]|-\w))"
)


@dataclass(frozen=True)
class Menu:
    """A question's options as the rules look for them.

    Attributes:
        count: how many letters there are, 0: letters name nothing.
        texts: the options' texts as patterns, longest first, each with its index.
        counted: whether a digit may be an option's number: no option holds one, or a number's word.
        roman: the same of Roman numerals.
        open: whether any text is an answer.
        items: whether such a text may be a list.
        others: letters that stand in the text of an option that they do not name ("Vitamin C" as A).
    """

    count: int
    texts: tuple[tuple[re.Pattern[str], int], ...]
    counted: bool
    roman: bool
    open: bool
    items: bool = False
    others: frozenset[str] = frozenset()

    def text_at(self, text: str, at: int) -> list[tuple[int, int]]:
        """Options whose text stands at a place, the longest alone: (index, end)."""
        found = [(i, match.end()) for pattern, i in self.texts if (match := pattern.match(text, at))]
        longest = max((end for _, end in found), default=at)
        return [(i, end) for i, end in found if end == longest]


@dataclass(frozen=True)
class Choice:
    """One or more options named at one place.

    Attributes:
        start: first character, in the folded text.
        end: one past the last.
        options: indices, in order; several: the statement names several. -1: a letter that is no option's.
        labelled: whether a letter or number stands there, not the text alone.
        plain: a letter or number alone: no brackets, no word before it, not its option's text behind it.
        said: the text of an open question's answer; "" otherwise.
    """

    start: int
    end: int
    options: tuple[int, ...]
    labelled: bool = False
    plain: bool = False
    said: str = ""


@lru_cache(maxsize=512)
def menu_of(question: Question | None, form: PromptFormat) -> Menu:
    """The options that the rules look for; without a question any letter, and no text."""
    if question is None:
        return Menu(len(LETTERS), (), False, False, False)
    if question.open:
        return Menu(0, (), False, False, True, form.items)
    options = [folded(option) for option in question.options]
    texts = sorted(((o, i) for i, o in enumerate(options)), key=lambda pair: -len(pair[0]))
    joined = " ".join(options)
    lettered = form.answer_form == "letter" or "{letter}" in form.option
    return Menu(
        len(options) if lettered else 0,
        tuple((_text_pattern(option), i) for option, i in texts if option),
        lettered and not _NUMBER.search(joined),
        lettered and not re.search(r"(?<!\w)[IVXivx]+(?!\w)", joined),
        False,
        others=frozenset(
            letter
            for i, option in enumerate(options)
            for letter in re.findall(r"(?<!\w)[A-Z](?!\w)", option)
            if letter != LETTERS[i]
        ),
    )


def _text_pattern(option: str) -> re.Pattern[str]:
    """An option's text; blanks, a final point, apostrophes and serial commas may differ."""
    option = option[:-1] if option.endswith(".") and len(option) > 1 else option
    pattern = re.escape(option).replace(r"\ ", r"\s+").replace(r",\s+", r",?\s+").replace("'", "'?")
    pattern = re.sub(r"(?<=[A-Za-z])\\-(?=[A-Za-z])", r"[-\\s]?", pattern)
    case = 0 if len(option) == 1 else re.IGNORECASE
    left = r"(?<!\w)" if re.match(r"\w", option) and not re.match(f"[{_CJK}]", option) else ""
    right = (
        r"(?![\w%]|[.,]\d|/\w)"
        if re.match(r"\w", option[-1]) and not re.match(f"[{_CJK}]", option[-1])
        else ""
    )
    return re.compile(left + pattern + right, case)


def choice_at(text: str, at: int, menu: Menu, *, loose: bool = False) -> Choice | None:
    """The option or options named at a place, words such as "clearly" or "option" before it left out.

    Args:
        text: folded.
        at: where to look.
        menu: the options.
        loose: whether anything may follow; the caller looks at it.
    """
    if menu.open:
        return _value_at(text, at, menu.items)
    for _ in range(8):
        found = _one_at(text, at, menu, loose)
        if found is not None:
            return _with_others(text, found, menu)
        match = _FILL.match(text, at)
        if not match or match.end() == at:
            return None
        at = match.end()
    return None


def _one_at(text: str, at: int, menu: Menu, loose: bool) -> Choice | None:
    label = _label_at(text, at, menu, loose)
    texts = menu.text_at(text, at) or _in_brackets(text, at, menu)
    if texts and (label is None or (label.plain and texts[0][1] > label.end)):
        options, end = tuple(i for i, _ in texts), texts[0][1]
        behind = _LABEL.match(text, _skip(text, end, r"\s*[,-]?\s*"))
        index = _index(behind, menu) if behind and (behind["inside"] or behind["half"]) else None
        if behind and index is not None and index >= 0:
            return Choice(at, behind.end(), (index,) if index in options else (*options, index), True)
        follow = _TEXT_FOLLOW if end - at > 1 else FOLLOW
        if loose or follow.match(text, end) or _both_follows(text, end, menu):
            return Choice(at, end, options)
        return None
    if label is not None and texts and texts[0][0] not in label.options and texts[0][1] >= label.end:
        return Choice(at, texts[0][1], (*label.options, texts[0][0]))  # it is another's text as well
    return label


def _in_brackets(text: str, at: int, menu: Menu) -> list[tuple[int, int]]:
    """Options whose text stands in brackets at a place: "(4)"."""
    if text[at : at + 1] not in ("(", "["):
        return []
    found = menu.text_at(text, at + 1)
    return [(i, end + 1) for i, end in found if text[end : end + 1] in (")", "]")]


def _label_at(text: str, at: int, menu: Menu, loose: bool) -> Choice | None:
    match = _LABEL.match(text, at)
    index = _index(match, menu) if match else None
    if match is None or index is None:
        return None
    end, at = match.end(), match.end("word") if match["word"] else at
    bare, inside, word = match["bare"], match["inside"], match["word"]
    own, other = _text_behind(text, end, index, menu)
    if other is not None and bare == "a" and not word:
        return None  # an article
    if other is not None:
        return Choice(at, end, (index,) if other == index else (index, other), True)
    if own > end:
        return Choice(at, own, (index,), True)
    if bare and not loose:
        follows = FOLLOW.match(text, end)
        if bare.islower() and not re.match(r"\.?\s*(?:\n|$|\})", text[end:]):
            return None
        if bare.isdigit() and not word and not re.match(r"\.?\s*(?:\n|$|\})", text[end:]):
            return None
        if not follows and not (word and bare.isupper() and re.match(r"\s", text[end:])):
            return None
    if inside and match["open"] in "\"'" and inside.islower():
        return None
    return Choice(at, end, (index,), True, plain=bool(bare and not word))


def _index(match: re.Match[str], menu: Menu) -> int | None:
    """Which option a label names; -1: a capital in brackets that is none's; None: it names nothing."""
    said = match["inside"] or match["half"] or match["bare"]
    if not menu.count:
        return None
    if len(said) == 1 and said.isalpha():
        index = LETTERS.index(said.upper())
        if index < menu.count:
            return index
    if said.isdigit():
        return int(said) - 1 if menu.counted and 0 < int(said) <= menu.count else None
    place = _ROMAN.get(said.lower())
    marked = match["inside"] or match["word"]
    if place is not None and place < menu.count:
        return place if menu.roman and marked else None
    return -1 if match["inside"] and said.isupper() else None


def _text_behind(text: str, end: int, index: int, menu: Menu) -> tuple[int, int | None]:
    """Where the letter's own text behind it ends, and another option whose text stands there instead."""
    at = _skip(text, end, r"[\s).:\]\"',=-]*(?:[(\[]\s*)?")
    hits = menu.text_at(text, at)
    apart = text[end:at].strip() or text[end - 1] in ")]" or text[at : at + 1].isupper()
    if any(i == index for i, _ in hits) and apart:
        own = hits[0][1]
        return own + (text[at - 1] in "([" and text[own : own + 1] in (")", "]")), None
    at = _skip(text, end, r"[ )\]:\"'-]*(?:[(\[] ?|, (?:which|that) (?:is|says|reads) )?")
    hits = menu.text_at(text, at)
    told = hits and (len(text[at : hits[0][1]]) > 1 or "," in text[end:at])
    other = hits[0][0] if told and at > end else None
    return end, other if other is not None and _TEXT_FOLLOW.match(text, hits[0][1]) else None


def _both_follows(text: str, end: int, menu: Menu) -> bool:
    joint = _JOINT.match(text, end)
    return bool(joint and _one_at(text, joint.end(), menu, False))


def _with_others(text: str, first: Choice, menu: Menu) -> Choice:
    """The choice together with those joined to it: "(A) and (C)", "A, B or C"."""
    options, end = list(first.options), first.end
    while True:
        joint = _JOINT_OR_COMMA.match(text, end)
        if joint is None:
            break
        comma = joint.group().strip() == ","
        at = _skip(text, joint.end(), r"(?i:(?:also|the|option|choice|maybe|even)\s+)*")
        other = _one_at(text, at, menu, False)
        if (
            other is None
            or (comma and not (other.labelled and text[at] in "([ABCDEFGHIJ"))
            or -1 in other.options
        ):
            break
        if other.options[0] in options:
            break
        options += other.options
        end = other.end
    if len(options) == len(first.options) or _WRONG.match(text, end):
        return first
    return Choice(first.start, end, tuple(dict.fromkeys(options)), True)


def _skip(text: str, at: int, pattern: str) -> int:
    match = re.compile(pattern).match(text, at)
    return match.end() if match else at


_LONGEST_VALUE = 120  # characters; an answer is no paragraph
_DENIAL = re.compile(either(phrases("no")))
_ITEMS = re.compile(  # up to the end of the sentence, and the lines of a list
    r"[^\n]*?\S(?:\n\s*(?:[-•]|\d+[.)])[^\n]*\S)*(?=\s*(?:\n|$|[.!?](?:\s|$)|\}))"
)
_VALUE = re.compile(r"[^\n]*?\S(?=\s*(?:\n|$|[.!?](?:\s|$)|;|,\s|\}))")


def _value_at(text: str, at: int, items: bool) -> Choice | None:
    """An open question's answer: up to the end of the sentence, the line or the box."""
    while (
        (match := _FILL.match(text, at))
        and match.end() > at
        and match.group().strip().lower() not in ("a", "an")
    ):
        at = match.end()
    if (at > 0 and text[at - 1] == BOX) or BOX in text[max(at - 3, 0) : at + 1]:
        at = text.rfind(BOX, 0, at + 1) + 1
        depth, end = 1, at
        while end < len(text) and text[end] != "\n":
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                break
            end += 1
        return Choice(at, end, (), said=text[at:end].strip()) if text[at:end].strip() else None
    if items:  # the first line of a numbered list
        at = _skip(text, at, r"\d{1,2}[.)]\s+(?=\S[^\n]*\n\s*\d{1,2}[.)])")
    match = (_ITEMS if items else _VALUE).match(text, at)
    if match is None or len(match.group()) > _LONGEST_VALUE or not re.search(r"\w", match.group()):
        return None
    if _DENIAL.match(match.group()):
        return None
    return Choice(at, match.end(), (), said=in_one_line(match.group()))
