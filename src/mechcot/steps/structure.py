"""Markdown-aware blocks of a text: headings with what follows them, list items, paragraphs.

The text is read line by line. A block begins

- after a blank line (a line indented under a list item still belongs to the item);
- at a heading: `### Title`, a line that is bold from end to end or begins with a bold label
  (`**Labs:** ...`), a short line that ends in a colon, a line such as `Step 2`, and a line without a
  full stop that is underlined with `===` or `---`. A line that is nothing but a heading joins the
  block after it, and so does an item that is (`2. **Drugs**`, `- Labs:`);
- at a numbered line: `1.`, `2)`, `(3)`, `Step 4:`, each also in bold, followed by a blank. `0.9 mg` is
  none, and without a blank line before it only 1 or the number after the last one counts, as a
  wrapped line can begin with `140. `;
- at a bullet (`-`, `*`, `+`, `•`, ...). Items indented under an item stay in it.

A fence (``` or ~~~) and a table are never cut; a horizontal line belongs to what it ends. A text
without any of this, one single paragraph, is cut into sentences by the caller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LEAD_IN_WORDS = 12  # a line of at most so many words that ends in a colon leads in what follows

_FENCE = re.compile(r"\s*(`{3,}(?!.*`)|~{3,})")
_ATX = re.compile(r"\s{0,3}#{1,6}(\s|$)")
_BOLD_LINE = re.compile(r"\s*(\*\*|__)(?=\S)(?:(?!\1).)+\1\s*(?::\s*)?$")
_BOLD_LABEL = re.compile(r"\s*(\*\*|__)(?=\S)(?:(?!\1).){1,80}(?::\1|\1\s?:)(\s|$)")
_STEP_LINE = re.compile(r"\s*(?:\*\*|__)?step\s+\d{1,3} ?[.:)]?(?:\*\*|__)?:?\s*$", re.IGNORECASE)
_STEP = re.compile(r"\s*(?:\*\*|__)?step\s+\d{1,3}\s*(?:[.:)]|\s[-–—]\s)", re.IGNORECASE)
_NUMBERED = re.compile(r"\s*(?:\*\*|__)?\(?(\d{1,3})[.:)](?:\*\*|__)?(?=\s|$)")
_BULLET = re.compile(r"\s*[-*+•◦‣▪·–](?=\s)")
_RULE_LINE = re.compile(r"\s*([-*_=])(?:\s*\1){2,}\s*$")
_UNDERLINE = re.compile(r"\s*(=+|-{2,})\s*$")
_TABLE_RULE = re.compile(r"\s*(?:\|\s*)?:?-+:?\s*(\|\s*:?-+:?\s*)+(?:\|\s*)?$")


@dataclass
class _Block:
    start: int
    end: int
    rule: str  # heading, numbered, bullet, table, code or paragraph
    indent: int
    title: bool = False  # one line without a full stop so far: an underline makes it a heading
    open: bool = False  # nothing but a heading so far: it takes the next block in


def blocks(text: str) -> list[tuple[int, int, str]]:
    """Spans of a text's blocks, in order and without a gap, each with the rule that began it.

    Returns:
        (first character, one past the last, rule): `heading`, `numbered`, `bullet`, `table`,
        `code` or `paragraph`. A heading's rule is kept for what it took in.
    """
    lines = [match.span() for match in re.finditer(r"[^\n]*\n|[^\n]+", text)]
    found: list[_Block] = []
    number, after_blank, i = 0, True, 0
    while i < len(lines):
        start, _ = lines[i]
        line = text[start : lines[i][1]]
        size = _whole(text, lines, i)
        end = lines[i + size - 1][1]
        if not line.strip():
            after_blank = True
            if found:
                found[-1].end = end
            i += size
            continue
        last = found[-1] if found else None
        rule = "code" if _FENCE.match(line) else "table" if size > 1 else _rule(line)
        if rule == "numbered":
            rule, number = _checked(line, number, last, after_blank)
        title = rule == "paragraph" and not line.rstrip().endswith((".", "!", "?"))
        own = _Block(start, end, rule, _indent(line), title, _takes_next(line, rule))
        _place(found, own, line, after_blank)
        after_blank = bool(_RULE_LINE.match(line))
        i += size
    return [(block.start, block.end, block.rule) for block in found]


def _place(found: list[_Block], own: _Block, line: str, after_blank: bool) -> None:
    """Add a line (or fence, or table) to the last block, or begin a block with it."""
    last = found[-1] if found else None
    if last is None:
        found.append(own)
    elif _UNDERLINE.match(line) and not after_blank and last.title:
        last.end, last.rule, last.title, last.open = own.end, "heading", False, True
    elif _RULE_LINE.match(line):
        last.end, last.title = own.end, False
    elif last.open:
        last.end, last.open = own.end, own.open
        if last.rule == "heading":
            last.indent = own.indent
        if last.rule == "paragraph":  # it began with a horizontal line
            last.rule, last.indent = own.rule, own.indent
    elif _continues(own, last, after_blank):
        last.end, last.title = own.end, False
    else:
        found.append(own)


def _continues(own: _Block, last: _Block, after_blank: bool) -> bool:
    """Whether a line goes on with the block before it."""
    if _inside(own.indent, last):
        return True
    return not after_blank and own.rule == "paragraph" and last.rule not in ("code", "table")


def _inside(indent: int, last: _Block) -> bool:
    """Whether a line indented so far is inside the item before it."""
    return last.rule in ("numbered", "bullet", "heading") and indent >= last.indent + 2


def _whole(text: str, lines: list[tuple[int, int]], i: int) -> int:
    """How many lines belong together from line i: a fence to its end, a table, else one."""
    line = text[slice(*lines[i])]
    fence = _FENCE.match(line)
    if fence:
        mark = fence.group(1)
        closing = re.compile(rf"\s*{re.escape(mark[0])}{{{len(mark)},}}\s*$")
        rest = range(i + 1, len(lines))
        return next((j - i + 1 for j in rest if closing.match(text[slice(*lines[j])])), len(lines) - i)
    if "|" in line and i + 1 < len(lines) and _TABLE_RULE.match(text[slice(*lines[i + 1])]):
        rest = range(i + 2, len(lines))
        return next((j - i for j in rest if "|" not in text[slice(*lines[j])]), len(lines) - i)
    return 1


def _rule(line: str) -> str:
    """Which rule a line by itself fits."""
    if _RULE_LINE.match(line):
        return "paragraph"
    if any(pattern.match(line) for pattern in (_ATX, _BOLD_LINE, _STEP_LINE)):
        return "heading"
    if _STEP.match(line):
        return "numbered"
    if _BOLD_LABEL.match(line):
        return "heading"
    if _NUMBERED.match(line):
        return "numbered"
    if _BULLET.match(line):
        return "bullet"
    leads_in = line.rstrip().endswith(":") and len(line.split()) <= _LEAD_IN_WORDS
    return "heading" if leads_in else "paragraph"


def _checked(line: str, number: int, last: _Block | None, after_blank: bool) -> tuple[str, int]:
    """A numbered line's rule, and the last number: a wrapped line can begin with `140. `."""
    match = _NUMBERED.match(line)
    if match is None or (last is not None and _inside(_indent(line), last)):  # Step 4:, or a nested list
        return "numbered", number
    own = int(match.group(1))
    if last is not None and not last.open and not after_blank and own not in (1, number + 1):
        return "paragraph", number
    return "numbered", own


def _takes_next(line: str, rule: str) -> bool:
    """Whether a line is nothing but a heading, of its own or an item's (`2. **Drugs**`, `- Labs:`)."""
    if _RULE_LINE.match(line):
        return True
    if rule in ("numbered", "bullet"):
        mark = _STEP.match(line) or _NUMBERED.match(line) or _BULLET.match(line)
        line = line[mark.end() :] if mark else line
        return bool(line.strip()) and _rule(line) == "heading" and _takes_next(line, "heading")
    return rule == "heading" and (not _BOLD_LABEL.match(line) or bool(_BOLD_LINE.match(line)))


def _indent(line: str) -> int:
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
