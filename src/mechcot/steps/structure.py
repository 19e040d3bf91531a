"""Blocks of a text: headings with what follows them, list items, paragraphs, tables, code.

`markdown-it-py` (MIT; CommonMark and tables) reads the text and says which lines a block has. Models
write more than Markdown knows; such lines are shown to it as what they mean (`_shown`):

- a line that is bold from end to end, a line such as `Step 2`, and a line of at most 12 words that ends
  in a colon are headings; a bold label (`**Labs:** ...`) and `Step 4: ...` begin a paragraph;
- `(3)`, `**3.**`, `3:`, `(A)`, `b)` and `•` begin an item as `3.` and `-` do;
- code and mathematics are never read as Markdown, and a line of dashes under a finished sentence makes
  no heading of it.

What stands together then is put together: a line that is nothing but a heading, of its own or of an item
(`2. **Drugs**`, `- Labs:`), joins the block after it; what is indented under an item stays in it; a
formula belongs to what it follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt

from mechcot.core.text import LINE_END
from mechcot.steps.markup import DISPLAY, FENCE, Span, lines

_TOO_DEEP = 4  # Markdown takes no list whose first item is indented so far
_LEAD_IN_WORDS = 12  # a line of at most so many words that ends in a colon leads in what follows

_BOLD_LINE = re.compile(r"\s*(\*\*|__)(?=\S)(?:(?!\1).)+\1\s*(?::\s*)?$")
_BOLD_LABEL = re.compile(r"\s*(\*\*|__)(?=\S)(?:(?!\1).){1,80}(?::\1|\1\s?:)(\s|$)")
_STEP_LINE = re.compile(r"\s*(?:\*\*|__)?step\s+\d{1,3} ?[.:)]?(?:\*\*|__)?:?\s*$", re.IGNORECASE)
_STEP = re.compile(r"\s*(?:\*\*|__)?step\s+\d{1,3}\s*(?:[.:)]|\s[-–—]\s)", re.IGNORECASE)
_NUMBERED = re.compile(r"(\s*)(\*\*|__)?\(?(\d{1,3})[.:)](?(2)(?:\2)?)(?=\s|$)")
_LETTERED = re.compile(r"(\s*)(?:\*\*|__)?(?:\((?:[A-Za-z]|[ivx]{2,4})\)|[A-Za-z]\))(?:\*\*|__)?:?(?=\s|$)")
_BULLET = re.compile(r"(\s*)[-*+•◦‣▪●·–](?=\s)")
_ATX = re.compile(r"\s{0,3}#{1,6}(\s|$)")
_RULE_LINE = re.compile(r"\s*([-*_=])(?:\s*\1){1,}\s*$")

_MARKDOWN = MarkdownIt("commonmark").enable("table").disable(["code", "html_block", "reference"])
_RULES = {
    "heading_open": "heading",
    "paragraph_open": "paragraph",
    "blockquote_open": "paragraph",
    "fence": "code",
    "table_open": "table",
    "list_item_open": "bullet",
}


@dataclass
class _Block:
    first: int  # line
    stop: int  # line, exclusive
    rule: str  # heading, numbered, bullet, table, code or paragraph
    indent: int
    number: int | None  # of a numbered item
    open: bool  # nothing but a heading: it takes the next block in


def blocks(text: str) -> list[tuple[int, int, str]]:
    """Spans of a text's blocks, in order, each with the rule that began it.

    Returns:
        (first character, one past the last, rule): `heading`, `numbered`, `bullet`, `table`,
        `code` or `paragraph`. A heading's rule is kept for what it took in. Between blocks are blank
        and horizontal lines.
    """
    spans = list(lines(text, []))
    said = [text[slice(*span)] for span in spans]
    formulas = {LINE_END.sub("", m.group()).strip() for m in DISPLAY.finditer(text)}
    found: list[_Block] = []
    for own in _blocks(said, _shown(text, spans, said)):
        last = found[-1] if found else None
        formula = "".join(said[own.first : own.stop]).strip() in formulas
        if last is None or not _joins(
            own, last, formula, own.first > last.stop or not said[own.first - 1].strip()
        ):
            found.append(own)
            continue
        if last.open:
            last.open, last.number = own.open, own.number
            if last.rule == "heading":
                last.indent = own.indent
        last.stop = own.stop
    return [(spans[b.first][0], spans[b.stop - 1][1], b.rule) for b in found]


def _joins(own: _Block, last: _Block, formula: bool, after_blank: bool) -> bool:
    """Whether a block goes on with the one before it."""
    if last.open or (last.rule in ("numbered", "bullet", "heading") and own.indent >= last.indent + 2):
        return True
    if own.number is not None and last.number is not None and not after_blank:
        return own.number not in (1, last.number + 1)  # a wrapped line can begin with "140. "
    return formula and last.rule not in ("code", "table")


def _blocks(said: list[str], shown: list[tuple[int, str]]) -> Iterator[_Block]:
    """The blocks that Markdown sees, list items each for themselves."""
    place = [line for line, _ in shown] + [len(said)]
    for token in _MARKDOWN.parse("\n".join(line for _, line in shown)):
        rule = _RULES.get(token.type)
        if rule is None or token.map is None or token.level != (token.type == "list_item_open"):
            continue
        first, stop = place[token.map[0]], place[token.map[1]]
        while stop > first + 1 and not said[stop - 1].strip():
            stop -= 1
        line = said[first]
        ordered = rule == "bullet" and token.info != ""
        if ordered or _LETTERED.match(line) or (rule == "paragraph" and _STEP.match(line)):
            rule = "numbered"
        elif rule == "paragraph" and _BOLD_LABEL.match(line):
            rule = "heading"
        alone = stop == first + 1 or token.type == "heading_open"
        number = int(token.info) if ordered else None
        yield _Block(first, stop, rule, _indent(line), number, alone and _takes_next(line, token.type))


def _takes_next(line: str, kind: str) -> bool:
    """Whether a line is nothing but a heading, of its own or an item's (`2. **Drugs**`, `- Labs:`)."""
    if kind != "list_item_open":
        return kind == "heading_open"
    mark = _STEP.match(line) or _NUMBERED.match(line) or _LETTERED.match(line) or _BULLET.match(line)
    return mark is not None and _is_title(line[mark.end() :])


def _is_title(line: str) -> bool:
    """Whether a line is a heading, to Markdown or to a reader."""
    if any(pattern.match(line) for pattern in (_ATX, _BOLD_LINE, _STEP_LINE)):
        return True
    return line.rstrip().endswith(":") and len(line.split()) <= _LEAD_IN_WORDS and "|" not in line


def _shown(text: str, spans: list[Span], said: list[str]) -> list[tuple[int, str]]:
    """The lines as Markdown is to see them, each with the number of the line it stands for."""
    whole = _inside(text, spans)
    shown: list[tuple[int, str]] = []
    before, margin, listed = "", 0, False
    for number, line in enumerate(said):
        indent, item = _indent(line), any(mark.match(line) for mark in (_NUMBERED, _LETTERED, _BULLET))
        if line.strip() and indent < margin:
            margin = 0
        if item and not listed:
            margin = indent if indent >= _TOO_DEEP else 0
        if line.strip():
            listed = item or (listed and indent > 0)
        apart, seen = _seen(line, before) if number not in whole else (False, whole[number])
        if apart and before.strip():
            shown.append((number, ""))
        shown.append((number, seen.expandtabs(4)[margin:] if margin else seen))
        before = line
    return shown


def _seen(line: str, before: str) -> tuple[bool, str]:
    """One line as Markdown is to see it, and whether a blank line has to stand before it."""
    if _RULE_LINE.match(line):
        return before.rstrip().endswith((".", "!", "?", ":", ";")), line
    if before.lstrip().startswith("|") and "|" not in line:
        return True, _seen(line, "")[1]
    if _BOLD_LINE.match(line):
        return False, _as_heading(line)
    if _STEP.match(line) and not _is_title(line):
        return True, line
    for pattern, mark in ((_NUMBERED, r"\1\3."), (_LETTERED, r"\1-"), (_BULLET, r"\1-")):
        if pattern.match(line) and not _RULE_LINE.match(line):
            return mark == r"\1-" and pattern is _LETTERED, pattern.sub(mark, line, count=1)
    if _is_title(line):
        return False, line if _ATX.match(line) else _as_heading(line)
    return _BOLD_LABEL.match(line) is not None, line


def _as_heading(line: str) -> str:
    return f"{line[: len(line) - len(line.lstrip())]}# x"


def _inside(text: str, spans: list[Span]) -> dict[int, str]:
    """Lines inside of code and mathematics, each with what Markdown is to see in its place."""
    found: dict[int, str] = {}
    for pattern in (FENCE, DISPLAY):
        at = 0
        for match in pattern.finditer(text):
            while spans[at][1] < match.start():
                at += 1
            first = at
            while spans[at][1] < match.end():
                at += 1
            indent = re.match(r"[ \t]*", text[slice(*spans[first])]).group()  # type: ignore[union-attr]
            end = match["mark"] if pattern is FENCE else "x"
            for line in range(first + 1, at + 1):
                found.setdefault(line, indent + (end if line == at else "x"))
    return found


def _indent(line: str) -> int:
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
