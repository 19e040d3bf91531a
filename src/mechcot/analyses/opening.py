"""How the report opens: what was asked of which models, who judged, and one sentence of consequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcot.core import files
from mechcot.core.errors import ModelError, StudyError
from mechcot.core.words import NBSP, bracket, change, counted, direction, listed, number, percent, points
from mechcot.models.checkpoint import arm_folder, without_fetching
from mechcot.models.weights import read_config
from mechcot.report.page import Card
from mechcot.study.tensor_file import TensorFile
from mechcot.tasks.question_files import HUB

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.report.parts import Findings
    from mechcot.study.folder import Study

_FOLLOWS = {
    ("up", "up"): "Answers got better and steps got worse: right answers do not vouch for the reasoning.",
    ("up", "down"): "Answers and steps both got better.",
    ("up", "unclear"): "Answers got better; whether steps changed is open.",
    ("down", "up"): "Answers and steps both got worse.",
    ("down", "down"): "Answers got worse and steps got better.",
    ("down", "unclear"): "Answers got worse; whether steps changed is open.",
    ("unclear", "up"): "Steps got worse; whether answers changed is open.",
    ("unclear", "down"): "Steps got better; whether answers changed is open.",
    ("unclear", "unclear"): "Whether answers or steps changed is open: both intervals hold 0.",
}
"""By where answers and wrong steps point."""

UNDECIDED = 0.5
"""A judge that abstains on more of an arm's claims than this is named in the report's first sentences."""


def heading(study: Study) -> str:
    """What is compared, before the arms' names."""
    settings = study.settings
    if settings.given:
        told = [_told(study, arm) for arm in (settings.contrast.before, settings.contrast.after)]
        return (
            "Two imported logs" if all(own["written_by"] for own in told) else "Two imported files of traces"
        )
    return "What distilling did" if len(settings.contrast.replicates) > 1 else "Two checkpoints"


def _told(study: Study, arm: str) -> Mapping[str, Any]:
    """What an imported arm's file says of its making (`parity.json`)."""
    found: Mapping[str, Any] = files.read_json(study.checked(study.path / "parity.json"))["given"][arm]
    return found


def asked(study: Study, found: Findings) -> str:
    """What the questions are, which models answered them and how big they are, and who judged the steps."""
    settings, votes = found.settings, found.results["answers"]["before"]
    return (
        f"{counted(votes['n_questions'], 'question')} of {questions_name(settings)}, {votes['k']} traces of "
        f"each by {_models(study, (found.before, found.after))}; steps judged by {_judge(study)}."
    )


def follows(found: Findings) -> str:
    """Consequence in a sentence or two, of what the two headline intervals exclude and what was decided."""
    votes, steps = found.results["answers"]["delta_sc"], found.results["audit"]["delta"]
    ways = (direction(votes), direction(steps))
    if ways not in _FOLLOWS or None in (number(votes["low"]), number(steps["low"])):
        told = "What changed is not known: one of the two numbers below has no interval."
    else:
        share = found.results["audit"]["claims"]["any_wrong"]
        before, after = (percent(share[when], 0) for when in ("before", "after"))
        told = (
            f"{_FOLLOWS[ways]}{_mostly(found.results['answers'])} A wrong claim is in {after} of the traces "
            f"of {found.after} and in {before} of those of {found.before}."
        )
    left = [found.results["audit"][when]["abstain_rate"] for when in ("before", "after")]
    if max(number(share) or 0.0 for share in left) <= UNDECIDED:
        return told
    before, after = (percent(share, 0) for share in left)
    return (
        f"{told} The judge decides few steps: it abstains on {before} of the claims of {found.before} and "
        f"{after} of those of {found.after}, and no number of wrong steps holds these."
    )


def _mostly(answers: Mapping[str, Any]) -> str:
    """That most of a gain is naming an option at all, where its interval excludes that none is."""
    share = answers["named"]["naming"]
    if (number(share.get("low")) or 0.0) <= 0 or (number(share) or 0.0) <= 0.5:
        return ""
    return f" Most of the gain in answers ({percent(share, 0)}) is naming an option at all."


def cards(found: Findings) -> tuple[Card, ...]:
    """The numbers at the top: claims, answers and steps, each beside what its change has to be read with."""
    answers, audit = found.results["answers"], found.results["audit"]
    claims = audit["claims"]
    before, after = (
        " / ".join(f"{number(claims[name][when]) or 0.0:.2f}" for name in ("right", "wrong"))
        for when in ("before", "after")
    )
    each = [change(claims[name]["difference"], 2) for name in ("right", "wrong")]
    claim_card = Card(
        "Right / wrong claims a trace",
        before,
        after,
        f"right {each[0]}\nwrong {each[1]}",
        direction(claims["wrong"]["difference"]),
        (_beside("a wrong one in a trace", claims["any_wrong"], claims["any_wrong"]["difference"], 0),),
    )
    asked_of, right = answers["before"]["n_questions"], audit["both_correct"]
    rates = {when: right[f"rate_{when}"] for when in ("before", "after")}
    where = f"where both are right ({right['n_questions']} of {asked_of})"
    return (
        claim_card,
        _rate("Right answers, by vote", answers, "sc", answers["delta_sc"], _named(answers)),
        _rate("Wrong steps", audit, "error_rate", audit["delta"], (_beside(where, rates, right),)),
    )


def _rate(name: str, part: Mapping[str, Any], key: str, delta: Any, more: tuple[str, ...]) -> Card:
    before, after = (percent(part[when][key]) for when in ("before", "after"))
    return Card(name, before, after, points(delta), direction(delta), more)


def _named(answers: Mapping[str, Any]) -> tuple[str, ...]:
    """The vote where both models name an option, and how much of the gain is naming one."""
    arms, named = [answers[when] for when in ("before", "after")], answers["named"]
    if not any(arm["share_no_answer"] for arm in arms):
        return ()
    asked_of = counted(arms[0]["n_questions"], "question")
    where = f"where both name an option ({named['n_questions']} of {asked_of})"
    lines = (_beside(where, named["sc"], named["delta_sc"]),)
    share = named["naming"]
    if (number(share.get("low")) or 0.0) <= 0:
        return lines
    told = percent(share, 0) + bracket(share, lambda end: f"{100 * end:.0f}")
    return (*lines, f"about {told} of the gain is naming an option at all")


def _beside(where: str, ends: Mapping[str, Any], delta: Any, digits: int = 1) -> str:
    """A second pair of rates under a card's first."""
    if number(delta) is None:
        return f"{where}: {points(delta)}"
    before, after = (percent(ends[when], digits) for when in ("before", "after"))
    return f"{where}: {before}{NBSP}→ {after}, {points(delta)}"


def export_of(study: Study) -> str | None:
    """The folder inside a study that holds the viewer's pages (`mechcot view --export`), relative to it."""
    found = sorted(path.parent.name for path in study.path.glob("*/viewer.js"))
    return found[0] if found else None


def questions_name(settings: Settings) -> str:
    """What the questions are called: on the report's first line, and in the cards."""
    asked = settings.questions
    if asked is None:
        return "an invented world"
    on_hub = asked.path.startswith(HUB)
    name = asked.set or (asked.path.removeprefix(HUB) if on_hub else Path(asked.path).name)
    split = f", split {asked.split}" if on_hub else ""
    return name + split + (f" at revision {asked.revision[:12]}" if asked.revision else "")


def _judge(study: Study) -> str:
    judge = study.settings.judge
    if judge.kind == "exact":
        return "the task’s exact checker"
    if judge.kind == "table":
        return f"a table of verdicts ({Path(str(judge.path)).name})"
    names = study.verdicts(study.settings.contrast.after, only=("arm", "instrument"))["instrument"].unique()
    return f"a language model ({', '.join(sorted(map(str, names)))})"


def _models(study: Study, arms: tuple[str, str]) -> str:
    """Both arms with their build and size; once where it is the same."""
    told = [_built(study, arm) for arm in arms]
    if told[0] == told[1]:
        return f"{listed(arms)}" + (f", each {told[0]}" if told[0] else "")
    return listed([f"{arm} ({built or 'of unknown size'})" for arm, built in zip(arms, told, strict=True)])


def _built(study: Study, arm: str) -> str:
    """Family, layers and weights of an arm's checkpoint, "" where it does not lie on this machine."""
    settings = study.settings.arms[arm]
    if settings.traces is not None and study.settings.given:
        own = _told(study, arm)
        parts = [own["file"], own["written_by"] and f"written by {own['written_by']}"]
        return ", ".join(filter(None, [*parts, own["model"] and f"model {own['model']}"]))
    if settings.traces is not None:
        return "given as traces"
    try:
        with without_fetching():
            folder = arm_folder(study.path, settings, arm)
        config = read_config(folder)
        size = sum(map(_weights, folder.glob("*.safetensors")))
    except (ModelError, StudyError, OSError, ValueError):
        return ""
    family = str(config.get("model_type", "language"))
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    parts = [counted(layers, "layer")] if isinstance(layers, int) else []
    parts += [f"{_many(size)} weights"] if size else []
    return f"a {family} model" + (f" with {' and '.join(parts)}" if parts else "")


def _weights(file: Path) -> int:
    """How many numbers a file of weights holds."""
    return sum(math.prod(entry["shape"]) for entry in TensorFile.open(file).entries.values())


def _many(n: int) -> str:
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if n >= size / 10:
            return f"{n / size:.1f} {name}"
    return f"{n:,}"
