"""The page's section on commitment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from mechcot.analyses.commitment import figures
from mechcot.analyses.commitment.locks import MATCHED
from mechcot.analyses.commitment.variants import LITTLE_MASS
from mechcot.analyses.commitment.variants_page import asked_parts
from mechcot.analyses.form import left_out
from mechcot.core.words import clause, counted, listed, percent, points
from mechcot.report.parts import Findings, Part, Section, Table, nothing


def commitment(found: Findings) -> Section:
    """When each arm's traces are settled, and whether the text or the reader settles them."""
    result = found.results["commitment"]
    title = "When is the answer settled, and by whose text?"
    if "arms" not in result:
        return nothing("commitment", title, "Forced answers cannot be compared here.", result["reason"])
    arms = {name: result["arms"][name] for name in (found.before, found.after)}
    mass = " and ".join(f"{percent(arm['raw_mass'], 0)} ({name})" for name, arm in arms.items())
    few = [name for name, arm in arms.items() if arm["raw_mass"] < LITTLE_MASS]
    mass += f"; less than half, in {listed(few)}, is little" if few else ""
    reading = Markup(
        "After each step the trace is cut off and the model has to answer at once: a <dfn>forced "
        "answer</dfn>. A trace is <dfn>locked</dfn> from the first cut after which every forced answer is "
        "the one that the trace ends in; it never locks when the last cut before the answer is stated still "
        "gives another. To tell the text from the reader, each model also read the other one's traces."
    )
    limits = Markup(
        "That steps after the lock do not matter, or that steps before it do: nothing was changed in a trace "
        "to try it. A forced answer stands where the model would not answer by itself: there the options "
        "together hold of the probability {mass}. A model may also repeat an option that was just named."
        "{left}"
    ).format(mass=mass, left=_left_out(arms))
    difference, cross = result["difference"], result["two_by_two"]
    parts = (
        Part("curves", _settled(found, arms, difference), figures.commitment_curves(arms)),
        *_apart(found, arms, difference),
        *asked_parts(result, (*found.settings.prompt.lead_in, *found.settings.reading.lead_ins)),
        Part(
            "cross",
            _whose(found, cross),
            figures.commitment_two_by_two(cross),
            tables=(_simple(found, cross),),
        ),
        *_others(found, result.get("others", {})),
    )
    return Section("commitment", title, parts, reading, limits)


def _apart(found: Findings, arms: dict[str, Any], difference: dict[str, Any]) -> Iterator[Part]:
    """Right and wrong answers apart, over as many prefixes of each; none where an arm lacks one of both."""
    if set(difference["by_answer"]) != {"right", "wrong"}:
        return
    before, after = arms[found.before], arms[found.after]
    told = []
    for kind, moved in difference["by_answer"].items():
        rates = [arm["by_answer"][kind]["locked_by_count"] for arm in (before, after)]
        what = f"locks over {MATCHED} prefixes spread over the trace"
        told.append(clause(what, rates[0], rates[1], moved["differences"]["locked_by_count"]))
    named = "named_after_lock"
    later = clause(
        "locked traces that name their answer only later",
        before[named],
        after[named],
        difference["differences"][named],
    )
    sentence = (
        f"From {found.before} to {found.after}, among traces that answer rightly, {told[0]}. Among those "
        f"that answer wrongly, {told[1]}. Of all, {later}."
    )
    yield Part("settled-apart", sentence, figures.commitment_curves(arms, answers=("right", "wrong")))


def _others(found: Findings, others: dict[str, Any]) -> Iterator[Part]:
    """Further authors, such as a teacher, as both arms read them."""
    for place, (author, by) in enumerate(others.items()):
        read = listed(
            [
                f"{percent(own['agrees_at_prompt'])} as {reader} reads them (mean probability of the own "
                f"answer {percent(own['mean_p_own'])}, {counted(own['n_traces'], 'trace')})"
                for reader, own in by.items()
            ]
        )
        yield Part(
            f"author-{place}", f"Of {author}’s traces, the own answer stands at the bare prompt in {read}."
        )


def _left_out(arms: dict[str, Any]) -> str:
    """How many of the arms' traces their locks leave out, "" where they leave out none."""
    counts = {name: sum(arm["excluded"].values()) for name, arm in arms.items()}
    if not any(counts.values()):
        return ""
    parts = [
        f"{n:,} of {name}’s {counted(arms[name]['n_traces'] + n, 'trace')}" for name, n in counts.items()
    ]
    return (
        " Traces that give no option, were cut or were not read are left out "
        f"({listed(parts)}), so the two models may be seen on partly other questions."
    )


def _settled(found: Findings, arms: dict[str, Any], difference: dict[str, Any]) -> str:
    a, b = arms[found.before], arms[found.after]
    moved = difference["differences"]
    first = clause(
        "traces whose forced answer at the bare prompt is already their own",
        a["agrees_at_prompt"],
        b["agrees_at_prompt"],
        moved["agrees_at_prompt"],
    )
    chance = " and ".join(percent(arm["chance_at_prompt"]) for arm in (a, b))
    return (
        f"From {found.before} to {found.after}, {first}. Were answers drawn whatever the question, {chance} "
        f"would be. A lock over all prefixes grows rarer with the length of a trace alone; over {MATCHED} "
        f"prefixes of each, locks change by {points(moved['locked_by_count'])} (spread over the trace) and "
        f"by {points(moved['locked_by_horizon'])} (the first ones); {percent(a['never_share'])} and "
        f"{percent(b['never_share'])} never lock."
    )


def _whose(found: Findings, cross: dict[str, Any]) -> str:
    effects = cross["measures"]["mean_p_own"]
    return (
        f"On average, {found.after}’s text in place of {found.before}’s moves the probability of the trace’s "
        f"own answer by {points(effects['effect_text'])}, and {found.after} in place of {found.before} as "
        f"its reader by {points(effects['effect_reader'])}. The text moves it by "
        f"{points(effects['text_read_by_before'])} as {found.before} reads it and by "
        f"{points(effects['text_read_by_after'])} as {found.after} does; the reader by "
        f"{points(effects['reader_of_before'])} on {found.before}’s text and by "
        f"{points(effects['reader_of_after'])} on {found.after}’s."
    )


def _simple(found: Findings, cross: dict[str, Any]) -> Table:
    """The simple effects of text and reader, of all traces and of those that answer rightly and wrongly."""
    before, after = found.before, found.after
    names = {
        "text_read_by_before": f"{after}’s text, read by {before}",
        "text_read_by_after": f"{after}’s text, read by {after}",
        "reader_of_before": f"{after}’s weights, on {before}’s text",
        "reader_of_after": f"{after}’s weights, on {after}’s text",
        "interaction": "interaction",
    }
    kinds = {"all": cross["measures"]["mean_p_own"], **cross["by_answer"]}
    rows = tuple((name, *(points(own[key]) for own in kinds.values())) for key, name in names.items())
    note = f"Mean probability of the trace’s own answer, {after}’s in place of {before}’s."
    return Table("By right and wrong answers", ("", *kinds), rows, note)


def used(found: Findings) -> list[tuple[str, ...]]:
    """For the table of what was left out: the traces of each arm."""
    return [
        (
            f"commitment, {name}",
            f"{arm['n_traces']:,} traces of {arm['n_questions']:,} questions",
            left_out(arm["excluded"]),
        )
        for name, arm in found.results["commitment"].get("arms", {}).items()
    ]
