"""The options of a multiple-choice row and which of them is right, in the shapes that public sets use."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from mechcot.core.errors import DataError
from mechcot.core.files import python_value, unique_keys
from mechcot.core.question_settings import GoldKind
from mechcot.core.records import absent, check_encodable
from mechcot.tasks.answers.values import SEPARATOR, normal
from mechcot.tasks.base import LETTERS

_TEXT_KEYS = ("text", "content", "body", "value", "option", "choice", "answer")
_LABEL_KEYS = ("label", "key", "letter", "id", "index", "idx", "option", "choice", "value", "name")
_MARK = re.compile(r"[A-Za-z]|\d{1,2}")
"""What an option is called: a letter or a small number."""
_MARKED = ("({})", "{}.", "{})", "{}:")
"""How a label is written: alone, or before its own option's text."""

READINGS: tuple[GoldKind, ...] = ("label", "text", "index", "number")
"""What a gold may be: a label, an option's text, an index counted from 0, a number counted from 1."""


def is_mark(name: str) -> bool:
    """Whether a text can be what an option is called: a letter or a small number."""
    return _MARK.fullmatch(name) is not None


@dataclass(frozen=True)
class Options:
    """The options of a row.

    Attributes:
        texts: in their order.
        labels: what the row calls them; the letters of the prompt where it does not.
        labelled: whether the row does.
    """

    texts: list[str]
    labels: list[str]
    labelled: bool


def read_options(where: str, value: Any) -> Options:
    """The options in a cell: texts alone or with their labels, in one of `SHAPES`, or that as JSON text.

    Raises:
        DataError: it is in no such shape, or there are too few or too many options, an empty one, or two
            of the same text or label.
    """
    value = _plain(where, value)
    if not isinstance(value, dict | list):
        raise DataError(f"{where}: the options are a {type(value).__name__}; a list or an object is needed")
    found = next((pairs for shape in SHAPES if (pairs := shape(where, value)) is not None), None)
    if found is None:
        raise DataError(
            f"{where}: the options are in no known shape: {str(value)[:120]}. Known are a list of texts, an "
            'object from label to text, a list of pairs or of objects such as {"key": "A", "value": "..."}, '
            'and {"label": [...], "text": [...]}'
        )
    texts = [_text(f"{where}: option {n}", text) for n, (_, text) in enumerate(found, 1)]
    given = [label for label, _ in found if label is not None]
    if given and len(given) < len(found):
        raise DataError(f"{where}: {len(given)} of {len(found)} options have a label; all or none must")
    labels = [_text(f"{where}: the label of option {n}", label) for n, label in enumerate(given, 1)]
    _check(where, texts, labels)
    return Options(texts, labels or list(LETTERS[: len(texts)]), bool(labels))


def _check(where: str, texts: list[str], labels: list[str]) -> None:
    if len(texts) < 2:
        raise DataError(f"{where}: has {len(texts)} option; a question needs at least two")
    if len(texts) > len(LETTERS):
        raise DataError(f"{where}: has {len(texts)} options; at most {len(LETTERS)} have a letter")
    for label, text in zip(labels or LETTERS, texts, strict=False):
        if not text.strip():
            raise DataError(f"{where}: option {label} is empty. Fix the row, or leave the option out")
    for what, values in (("text", texts), ("label", labels)):
        if len({same_text(value) for value in values}) < len(values):
            raise DataError(f"{where}: two options have the same {what}: {values}")
    if labels and all(map(_MARK.fullmatch, texts)) and not any(map(_MARK.fullmatch, labels)):
        raise DataError(f"{where}: {labels} look like the texts and {texts} like the labels of the options")


def same_text(text: str) -> str:
    """What two texts share that are the same but for composition and blanks. Case counts: Tt is not tt."""
    return " ".join(unicodedata.normalize("NFC", text).split())


# --- shapes ---------------------------------------------------------------------------------------

Pairs = list[tuple[Any, Any]]
"""(label, text) of each option; a label of None: the row names none."""


def _columns(where: str, value: Any) -> Pairs | None:
    """`{"label": ["A", "B"], "text": ["x", "y"]}`, labels or not."""
    if not isinstance(value, dict) or not value or not all(isinstance(v, list) for v in value.values()):
        return None
    keys = _keys(value)
    if keys is None:
        return None
    label, text = keys
    texts = value[text]
    labels = [None] * len(texts) if label is None else value[label]
    if len(labels) != len(texts):
        raise DataError(f"{where}: {len(labels)} labels and {len(texts)} texts of options: {value}")
    return list(zip(labels, texts, strict=True))


def _mapping(where: str, value: Any) -> Pairs | None:
    """`{"A": "x", "B": "y"}`. A table gives a row the keys of other rows as well, with nothing in them."""
    if not isinstance(value, dict) or any(isinstance(v, dict | list) for v in value.values()):
        return None
    return [(key, text) for key, text in value.items() if not absent(text)]


def _objects(where: str, value: Any) -> Pairs | None:
    """`[{"key": "A", "value": "x"}, ...]`, or each option an object of its own, `[{"A": "x"}, ...]`."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return None
    items = [{key: inner for key, inner in item.items() if not absent(inner)} for item in value]
    single = all(len(item) == 1 for item in items)
    if single and len({key for item in items for key in item}) == len(items):
        return [pair for item in items for pair in item.items()]
    keys = [_keys(item) for item in items]
    if None in keys or len(set(keys)) > 1:
        return None
    return [
        (None if key[0] is None else item[key[0]], item[key[1]])
        for key, item in zip(keys, items, strict=True)
        if key is not None
    ]


def _pairs(where: str, value: Any) -> Pairs | None:
    """`[["A", "x"], ["B", "y"]]`."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(item, list) and len(item) == 2 for item in value):
        return None
    return [(label, text) for label, text in value]


def _texts(where: str, value: Any) -> Pairs | None:
    """`["x", "y"]`."""
    if not isinstance(value, list) or any(isinstance(item, dict | list) for item in value):
        return None
    return [(None, text) for text in value]


SHAPES: tuple[Callable[[str, Any], Pairs | None], ...] = (_columns, _mapping, _objects, _pairs, _texts)
"""The shapes of options, each read by a function that gives None for another one."""


def _keys(names: Iterable[Any]) -> tuple[Any, Any] | None:
    """Which key holds labels (None: none does) and which texts; None: no key of texts."""
    known = {str(name).lower().removesuffix("s"): name for name in names}
    text = next((key for key in _TEXT_KEYS if key in known), None)
    if text is None:
        return None
    label = next((key for key in _LABEL_KEYS if key in known and key != text), None)
    return (None if label is None else known[label]), known[text]


def _plain(where: str, value: Any) -> Any:
    """A cell as plain lists, objects and values; text is read as JSON, or as Python writes lists."""
    if isinstance(value, str):
        return _plain(where, parsed(where, "the options", value))
    if isinstance(value, Mapping):
        return {key: _plain_value(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain_value(inner) for inner in value]
    return value


def _plain_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_value(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain_value(inner) for inner in value]
    return value


def parsed(where: str, what: str, text: str) -> Any:
    """A list or object that stands in a cell as text: JSON, or Python's own way of writing it.

    Raises:
        DataError: it is neither.
    """
    try:
        value = json.loads(text, object_pairs_hook=unique_keys)
    except ValueError as error:
        try:
            value = python_value(text)
        except ValueError:
            raise DataError(f"{where}: {what} are neither a list nor JSON ({error}): {text[:80]!r}") from None
    if not isinstance(value, dict | list | tuple):
        raise DataError(f"{where}: {what} are neither a list nor an object: {text[:80]!r}")
    return value


def _text(where: str, value: Any) -> str:
    """A plain value as text; empty when nothing stands there."""
    if isinstance(value, dict | list | tuple | bytes):
        raise DataError(f"{where} is a {type(value).__name__}; a text is needed: {str(value)[:80]}")
    return "" if absent(value) else str(value)


# --- the right one --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gold:
    """What a row says of the right answer.

    Attributes:
        value: of the cell.
        readings: every way in which it names an option, and the option's index.
    """

    value: Any
    readings: Mapping[GoldKind, int]

    @property
    def counts(self) -> bool:
        """Whether it is nothing but a number that counts options."""
        return bool(self.readings) and not {"label", "text"} & self.readings.keys()

    def option(self, where: str, options: Options, kind: GoldKind | None, told: bool) -> int:
        """The index of the right option.

        Args:
            where: the row stands.
            options: of the row.
            kind: what the column holds, or what its bare numbers are.
            told: whether the settings say that; else labels and texts count as well, and must agree.

        Raises:
            DataError: it is no option, or may be two.
        """
        kinds = [kind] if told else ["label", "text", kind]
        found = {name: self.readings[name] for name in kinds if name is not None and name in self.readings}
        if len(set(found.values())) == 1:
            if "text" not in found:
                _check_order(where, self.value, options)
            return next(iter(found.values()))
        if found:
            ways = ", ".join(f"as {name} it is {options.texts[i]!r}" for name, i in found.items())
            raise DataError(
                f"{where}: the gold answer {self.value!r} may be several options: {ways}. Set "
                f"questions.gold_is to one of {', '.join(READINGS)}, or fix the row"
            )
        several = " A question of this kind has one right option." if isinstance(self.value, list) else ""
        raise DataError(
            f"{where}: the gold answer {self.value!r} is not among the options {options.labels[0]}-"
            f"{options.labels[-1]}.{several} Fix the row, or map the column with questions.columns.gold=..."
        )

    def texts(self, where: str, kind: GoldKind | None) -> list[str]:
        """The right answer of an open question, and every other text that is right as well.

        That is what stands behind the last `####`, else the cell. A list of several is `any` of them, or one
        text that names `all` of them.

        Raises:
            DataError: nothing stands there, or no text and no number, or a list and nobody said what it is.
        """
        items = self.value if isinstance(self.value, list) else [self.value]
        texts = [_text(f"{where}: the gold answer", item).rpartition("####")[2].strip() for item in items]
        if not texts or not all(texts) or any(isinstance(item, bool) for item in items):
            raise DataError(f"{where}: the gold answer {self.value!r} is empty or no text. Fix the row")
        if kind == "all":
            return [named_together(where, texts)]
        if len(texts) > 1 and kind != "any":
            raise DataError(
                f"{where}: the gold answer holds {len(texts)} texts: {texts}. Where each alone is right, "
                "set questions.gold_is=any; where an answer has to name them all, questions.gold_is=all"
            )
        return texts


def _check_order(where: str, value: Any, options: Options) -> None:
    """Refuse a gold that counts options whose texts begin with letters in another order.

    Raises:
        DataError: they do.
    """
    begins = [re.match(r"\(?([A-Za-z])[.):]\s", text) for text in options.texts]
    own = [found[1].upper() for found in begins if found]
    expected = list(LETTERS[: len(options.texts)])
    if sorted(own) == expected and own != expected and not options.labelled:
        raise DataError(
            f"{where}: the gold answer {value!r} may be a place or a letter of the texts, which begin with "
            f"{', '.join(own)} in this order. Take the letters off, or give the options as an object from "
            "label to text"
        )


def named_together(where: str, texts: Sequence[str]) -> str:
    """Texts that an answer has to name all as one (`answers.values.SEPARATOR` between them).

    Raises:
        DataError: one holds that separator, or two are the same.
    """
    for text in texts:
        if SEPARATOR.strip() in text:
            raise DataError(
                f"{where}: the gold answer {text!r} holds '{SEPARATOR.strip()}', which parts texts"
            )
    if len({normal(text) for text in texts}) < len(texts):
        raise DataError(f"{where}: the gold answer names a text twice: {list(texts)}. Fix the row")
    return SEPARATOR.join(texts)


def read_gold(where: str, value: Any, options: Options | None, typed: bool) -> Gold:
    """What a cell says of the right answer, every way in which it may be read.

    Args:
        where: the row stands.
        value: of the cell; a list of one stands for that one.
        options: of the row; None: the question is open.
        typed: whether the file tells texts from numbers; in a CSV "3" may be either.

    Raises:
        DataError: its text holds half of a character.
    """
    value = _plain_value(value)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    check_encodable(str(value), where, "the gold answer")
    if options is None or absent(value) or isinstance(value, bool | np.bool_ | list | dict):
        return Gold(value, {})
    number = _whole_number(value, typed)
    said = {same_text(str(value))} | ({str(number)} if number is not None else set())
    found: dict[GoldKind, int] = {}
    for i, (label, text) in enumerate(zip(options.labels, options.texts, strict=True)):
        if same_text(label) in said or said & {form.format(same_text(label)) for form in _MARKED}:
            found["label"] = i
        if same_text(text) in said or said & {f"{form.format(label)} {same_text(text)}" for form in _MARKED}:
            found["text"] = i
    # Labels that are numbers themselves say what a number means.
    if number is not None and not (
        options.labelled and all(label.strip().isdigit() for label in options.labels)
    ):
        places: tuple[tuple[GoldKind, int], ...] = (("index", number), ("number", number - 1))
        found |= {kind: place for kind, place in places if place in range(len(options.texts))}
    return Gold(value, found)


def _whole_number(value: Any, typed: bool) -> int | None:
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    if isinstance(value, str) and not typed and re.fullmatch(r"\s*[0-9]{1,9}(\.0+)?\s*", value):
        return int(float(value))
    return None
