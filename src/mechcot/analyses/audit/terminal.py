"""The audit of the steps on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mechcot.analyses.audit.result import AuditResult, RoleAudit
from mechcot.core.results import kinds_called
from mechcot.core.words import DIFFERENCE, contrasted, counted, parts_in_points, percent, plain_signs, points

Row = tuple[str, str, str, str]


def _row(what: str, arms: Iterable[str], difference: str = "") -> Row:
    before, after = arms
    return what, before, after, difference


def terminal_text(result: AuditResult) -> str:
    """The step audit as plain text: both arms, the differences, the kinds of step, the split.

    Args:
        result: of `audit.analyse`.
    """
    arms, both = (result.before, result.after), result.both_correct
    names = (arm.arm for arm in arms)
    roles = [role for role in result.roles if role.errors.n_judged_before or role.errors.n_judged_after]
    rows = [
        _row(f"steps, judged by: {result.instrument}", names, DIFFERENCE),
        _row(
            "wrong among judged",
            (f"{percent(arm.error_rate.to_json())} of {arm.n_judged:,}" for arm in arms),
            points(result.delta.to_json()),
        ),
        *_before_answer(result),
        _row("  every question weighs the same", ("", ""), points(result.delta_question_weighted.to_json())),
        _row(
            f"  both answers right ({counted(both.n_questions, 'question')})",
            (percent(rate) for rate in (both.rate_before, both.rate_after)),
            points(both.delta.to_json()),
        ),
        *(_role(role, kinds_called(result)) for role in roles),
        _row("steps in all", (f"{arm.n_steps:,}" for arm in arms)),
        _row("not checkable", (percent(arm.not_checkable_rate) for arm in arms)),
        _row("judge abstains", (percent(arm.abstain_rate) for arm in arms)),
        _row("judging failed", (f"{arm.n_api_failure + arm.n_parse_failure:,}" for arm in arms)),
        _row("no verdict", (f"{arm.n_without_verdict:,}" for arm in arms)),
    ]
    terms = ("common_composition", "common_within", "unshared")
    mix, within, alone = parts_in_points([result.split.to_json()[term] for term in terms])
    finer = result.within_reads  # what the report says of it: by the cells that were settled beforehand
    lines = [
        f"split: mix of shared kinds {mix}",
        f"       within shared kinds {within}",
        f"       kinds that one arm alone writes {alone}",
        *([f"       by finer cells within is {finer}"] if finer.startswith("not identifiable") else []),
    ]
    return "\n".join([contrasted(rows), "", *map(plain_signs, lines)])


def _before_answer(result: AuditResult) -> list[Row]:
    """Where an arm goes on after its answer, the difference without such steps."""
    arms, part = (result.before, result.after), result.before_answer
    if not any(arm.n_behind_answer for arm in arms):
        return []
    rates = (percent(rate) for rate in (part.rate_before, part.rate_after))
    return [
        _row("  steps before the stated answer alone", rates, points(part.delta.to_json())),
        _row("  steps behind it", (f"{arm.n_behind_answer:,}" for arm in arms)),
    ]


def _role(role: RoleAudit, names: Mapping[str, str]) -> Row:
    errors = role.errors
    counts = (errors.n_judged_before, errors.n_judged_after)
    cells = (
        f"{percent(rate)} of {n:,}" if n else "–"
        for rate, n in zip((errors.rate_before, errors.rate_after), counts, strict=True)
    )
    difference = points(errors.delta.to_json()) if all(counts) else ""
    return _row(f"  kind: {names.get(role.role, role.role)}", cells, difference)
