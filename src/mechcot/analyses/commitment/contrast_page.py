"""The page of `mechcot commitment`, and the folder in which it lies with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mechcot.analyses.commitment import figures, maps
from mechcot.analyses.commitment.contrast import CommitmentContrast, tables
from mechcot.analyses.commitment.locks import MATCHED
from mechcot.analyses.commitment.result import CommitmentResult
from mechcot.analyses.commitment.variants import LITTLE_MASS
from mechcot.analyses.commitment.variants_page import asked_parts
from mechcot.analyses.form import left_out
from mechcot.core import files
from mechcot.core.results import for_figure
from mechcot.core.words import clause, counted, listed, number, percent, points
from mechcot.report import figures as style
from mechcot.report.frame import drawn, template
from mechcot.report.parts import Part, Section, Table
from mechcot.study.writing import write_beside

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.study.folder import Study


def write_contrast(study: Study, found: CommitmentContrast) -> Path:
    """Write `result.json` and `report.html` into STUDY/commitment/NAME; the study records them.

    Each file appears whole or not at all. The same result gives the same bytes.

    Returns:
        The folder.
    """
    folder = study.path / "commitment" / found.name

    def write() -> None:
        files.write_json(folder / "result.json", found.to_json())
        files.write_text(folder / "report.html", render_contrast(found, lead_texts_of(study.settings)))

    write_beside(folder, ("result.json", "report.html"), write, kind="commitment")
    return folder


def lead_texts_of(settings: Settings) -> tuple[str, ...]:
    """The texts of all lead-ins, in order."""
    return (*settings.prompt.lead_in, *settings.reading.lead_ins)


def render_contrast(found: CommitmentContrast, lead_texts: Sequence[str] = ()) -> str:
    """One self-contained page, every text escaped.

    Args:
        found: one or two readings.
        lead_texts: what the lead-ins say.
    """
    said = found.to_json()
    colours = figures.hues(said["results"], for_figure(found))
    sections = [_settled(found, said, colours), *_apart(said, colours), *_asked(found, lead_texts)]
    sections.append(_traces(found, colours))
    return template("result.html").render(
        tab=f"Commitment {found.name}",
        kicker=f"mechcot commitment · {' · '.join(found.results)}",
        title="When is the answer settled?",
        verdict=verdict(said),
        cards=list(_cards(said)),
        sections=sections,
        tables=(_counts(said),),
        colours={"before": style.BEFORE, "after": style.AFTER},
        **drawn(sections),
    )


def verdict(said: Mapping[str, Any]) -> str:
    """What the numbers say, as far as their intervals allow."""
    arms, two = said["results"], said.get("difference")
    if two is None:
        (arm,) = arms.values()
        return (
            f"Of {counted(arm['n_traces'], 'trace')}, {percent(arm['agrees_at_prompt'])} give their own "
            f"answer at the bare prompt (chance: {percent(arm['chance']['agrees_at_prompt'])}) and "
            f"{percent(arm['never_share'])} never lock."
        )
    first, second = arms.values()
    moved = two["differences"]["agrees_at_prompt"]
    what = "traces whose forced answer at the bare prompt is their own"
    said_first = clause(what, first["agrees_at_prompt"], second["agrees_at_prompt"], moved)
    return f"{said_first[0].upper()}{said_first[1:]}."


def _cards(said: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    two = said.get("difference")
    shown = {
        "agrees_at_prompt": "Own answer at the prompt",
        "locked_before_answer": "Locked before the answer",
        "mean_p_own": "Mean P(own answer)",
    }
    for measure, name in shown.items():
        values = " → ".join(percent(arm[measure], 0) for arm in said["results"].values())
        yield name, values, points(two["differences"][measure]) if two else ""


def _settled(found: CommitmentContrast, said: Mapping[str, Any], colours: Mapping[str, str]) -> Section:
    arms, two = said["results"], said.get("difference")
    locked = f"Traces that never lock: {_each(arms, 'never_share')}."
    if two:
        moved, matched = two["differences"], two["matched"]
        locked += (
            " A lock over all prefixes grows rarer with the length of a trace alone: from "
            "the first to the second, traces locked at the prompt change by "
            f"{points(moved['locked_at_prompt'])} over all prefixes and by "
            f"{points(matched['locked_at_prompt'])} over {MATCHED} of each, spread to its end{_equal(two)}. "
            f"Those locked when the first claim ends change by {points(moved['claim_by_count'])} over "
            f"{MATCHED} from there on, spread likewise."
        )
    probable = f"Over a trace, the mean probability of its own answer is {_each(arms, 'mean_p_own')}."
    if two:
        probable = f"{probable[:-1]}: {points(two['differences']['mean_p_own'])}."
    curves = partial(figures.commitment_curves, colours=[colours[name] for name in arms], by=found.by)
    parts = (
        Part(
            "locked",
            locked,
            curves(arms),
            tables=tables(found),
        ),
        Part("own", probable, curves(arms, measure="p_own")),
        Part("margin", _doubt(arms), curves(arms, measure="entropy")),
    )
    reading = Markup(
        "After each step the trace is cut off and the reader has to answer at once: a <dfn>forced "
        "answer</dfn>. A trace is <dfn>locked</dfn> from the first cut after which every forced answer is "
        "its own. A lock needs agreement at every later cut, so long traces lock later by chance alone: the "
        "table sets equally many cuts, equal lengths and the chance level beside it."
    )
    limits = Markup(
        "That steps after the lock do not matter, or that those before it do: no trace was changed to try "
        "it. Forced answers stand where the reader would not answer by itself{mass}."
    ).format(mass=_mass(arms))
    return Section("settled", "When is it settled?", parts, reading, limits)


def _each(arms: Mapping[str, Any], measure: str) -> str:
    """A rate of each, its name behind it: a name may be "read by base"."""
    return listed([f"{percent(arm[measure])} ({name})" for name, arm in arms.items()])


def _equal(two: Mapping[str, Any]) -> str:
    difference = two["equal_length"]["locked_at_prompt"]["difference"]
    if number(difference) is None:
        return "; no trace of one has as many prefixes as one of the other"
    n = two["n_equal_length"]
    traces = f"{n['before']:,} and {n['after']:,} traces"
    return f", and by {points(difference)} over traces with equally many prefixes ({traces})"


def _doubt(arms: Mapping[str, Any]) -> str:
    told = [
        f"{first['entropy']:.2f} to {last['entropy']:.2f} nats ({name})"
        for name, arm in arms.items()
        for first, last in [(arm["by_fraction"][0], arm["by_fraction"][-1])]
    ]
    return f"From the prompt to the last step read, the entropy of the options goes from {listed(told)}."


def _mass(arms: Mapping[str, Any]) -> str:
    parts = [f"{percent(arm['raw_mass'], 0)} ({name})" for name, arm in arms.items()]
    few = [name for name, arm in arms.items() if arm["raw_mass"] < LITTLE_MASS]
    warned = (
        f". Less than half, in {listed(few)}, is little: the lead-in is unlike what the model writes"
        if few
        else ""
    )
    return f": there the options together hold {listed(parts)} of the probability{warned}"


def _apart(said: Mapping[str, Any], colours: Mapping[str, str]) -> Iterator[Section]:
    """Right and wrong answers, where gold is known."""
    arms = {name: arm for name, arm in said["results"].items() if arm["by_answer"]}
    if not arms:
        return
    told = [
        f"{percent(own['agrees_at_prompt'])} of the {counted(own['n_traces'], 'trace')} that answer {kind}ly"
        if kind == "right"
        else f"{percent(own['agrees_at_prompt'])} of the {counted(own['n_traces'], 'trace')} that do not"
        for arm in arms.values()
        for kind, own in arm["by_answer"].items()
    ]
    names = list(arms)
    per = [listed(told[i : i + 2]) + f" ({name})" for name, i in zip(names, _starts(arms), strict=True)]
    sentence = f"Their own answer already stands at the bare prompt in {'; '.join(per)}."
    both = ("right", "wrong")
    curves = partial(figures.commitment_curves, colours=[colours[name] for name in arms], by=said["by"])
    parts = (
        Part("apart", sentence, curves(arms, answers=both)),
        Part(
            "gold",
            "The right answer's probability along all traces.",
            curves(arms, measure="p_gold"),
        ),
    )
    reading = Markup(
        "The same curves for traces that end in the right answer, and for those that end in another."
    )
    limits = Markup("That settling early makes an answer right or wrong: easy questions may do both.")
    yield Section("apart", "Do right and wrong answers settle alike?", parts, reading, limits)


def _asked(found: CommitmentContrast, lead_texts: Sequence[str]) -> Iterator[Section]:
    """Lead-ins, orders and layers, where they were read."""
    parts = tuple(asked_parts(found.asked, lead_texts))
    if not parts:
        return
    reading = Markup(
        "A <dfn>lead-in</dfn> is the text after which the model has to name an option. What hangs on its "
        "words, on the order in which options are shown, or on the layer that is read, is a property of the "
        "question put, and not of the trace."
    )
    limits = Markup("How the model would answer if it wrote on by itself.")
    yield Section("asked", "Does it hang on how one asks?", parts, reading, limits)


def _starts(arms: Mapping[str, Any]) -> list[int]:
    sizes = [len(arm["by_answer"]) for arm in arms.values()]
    return [sum(sizes[:i]) for i in range(len(sizes))]


def _traces(found: CommitmentContrast, colours: Mapping[str, str]) -> Section:
    parts: list[Part] = []
    for name, result in found.results.items():
        for what, row in typical(result).items():
            one = result.trace(*row).to_json()
            figure = maps.trace_map(one, colour=colours[name])
            place = f"trace-{len(parts)}"
            parts.append(Part(place, f"{name}: {what}.", figure))
    reading = Markup(
        "One trace in each map: what the reader would answer after so many of its steps. The mark beside a "
        "step is its verdict; its text stands in the hover."
    )
    limits = Markup("What is usual: each map is one trace.")
    return Section("traces", "What does it look like in one trace?", tuple(parts), reading, limits)


def typical(result: CommitmentResult) -> dict[str, tuple[str, int]]:
    """A trace that locks where the middle one of those does that lock late, and one that never locks.

    Ties go to the first question and sample.
    """
    table, chosen = result.locks, {}
    later, never = table[table["lock"] > 0], table[table["lock"].isna()]
    for what, rows, column in (
        ("locks at the usual place", later, "lock"),
        ("never locks", never, "last_k"),
    ):
        if len(rows):
            far = (rows[column] - rows[column].median()).abs()
            row = rows.assign(far=far).sort_values(["far", "qid", "cid"], kind="stable").iloc[0]
            chosen[what] = (str(row["qid"]), int(row["cid"]))
    if not chosen:
        row = table.iloc[0]
        chosen["locked at the prompt"] = (str(row["qid"]), int(row["cid"]))
    return chosen


def _counts(said: Mapping[str, Any]) -> Table:
    names = list(said["results"])
    arms = list(said["results"].values())
    rows = [
        ("traces", *(f"{arm['n_traces']:,}" for arm in arms)),
        ("questions", *(f"{arm['n_questions']:,}" for arm in arms)),
        ("left out", *(left_out(arm["excluded"]) for arm in arms)),
        (
            "first claim not known, for want of a verdict",
            *(f"{arm['first_claim']['unknown']:,}" for arm in arms),
        ),
        ("traces without a claim", *(f"{arm['first_claim']['no_claim']:,}" for arm in arms)),
        ("traces without a step before the answer", *(f"{arm['n_one_prefix']:,}" for arm in arms)),
        ("forced answers that are ties", *(f"{arm['n_tied']:,}" for arm in arms)),
        ("probability that the options hold together", *(percent(arm["raw_mass"]) for arm in arms)),
        ("lead-in", *(str(arm["lead_in"]) for arm in arms)),
    ]
    return Table("Counts", ("", *names), tuple(rows))
