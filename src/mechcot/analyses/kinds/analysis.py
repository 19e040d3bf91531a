"""How often are the kinds of steps mistaken, and would the audit's split read otherwise without that?

Where a task sorts steps by their wording, kinds come from rules or from a server, and are sometimes mistaken.
Mistakes that differ between the arms move what happens inside kinds into their mix. Here the change of step
error inside kinds is made again with the mistakes undone (`stats.misclassification`): by the labels that
people gave to steps of this study (`kinds.labels`), or else as the rules mistook steps of two other models,
alike in both arms and differently in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mechcot.analyses.arm_steps import ArmSteps
from mechcot.analyses.arms import Arms, pair_of
from mechcot.analyses.form import INTERVAL, pick
from mechcot.analyses.kinds.labels import LEAST, Ints, labelled, shipped
from mechcot.core.kind_records import RULES, SERVER, UNREAD
from mechcot.core.offers import offered
from mechcot.core.results import Interval, Pair, Paired, Result
from mechcot.stats.cluster import Floats
from mechcot.stats.jackknife import by_text, rate_interval, ratio_difference_interval
from mechcot.stats.misclassification import within_corrected
from mechcot.steps.of_study import task_of
from mechcot.tasks.kinds import VERSION

if TYPE_CHECKING:
    from mechcot.core.settings import Settings
    from mechcot.study.folder import Study

AS_FOUND = "as found"
OWN = "mistaken as the labels of this study say"
NO_LABELS = (
    "no steps with kinds that people gave are known of this server: name a file of them with kinds.labels"
)


@dataclass(frozen=True)
class Mix(Result):
    """One kind's share of an arm's judged steps.

    Attributes:
        kind: its name.
        share: before, after, and the difference.
    """

    kind: str
    share: Paired


@dataclass(frozen=True)
class Mistaken(Result):
    """How often one writer's steps are given the kind that people gave them.

    Attributes:
        writer: an arm, or a model whose steps were labelled for mechcot.
        agree: the share that is.
        counts: labelled steps, a row a kind as labelled, a column a kind as found.
    """

    writer: str
    agree: Interval
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Corrected(Result):
    """The change of step error inside kinds.

    Attributes:
        mistakes: which are undone; AS_FOUND: none.
        within: by the mean of both arms' shares.
    """

    mistakes: str
    within: Interval


@dataclass(frozen=True, repr=False)
class KindsResult(Result):
    """Kinds of step: what there is of each, how often they are mistaken, and what that may do.

    Attributes:
        before: name of the arm before.
        after: of the arm after.
        by: who named the kinds of judged steps: `rules` or `server`.
        rules: version of the rules.
        kinds: that there are.
        unread: judged steps whose kind the server did not name, of each arm; they are left out.
        mix: each kind's share of the judged steps.
        mistaken: by writer.
        corrected: the change inside kinds, as found and with mistakes undone.
        reason: why no mistakes are undone, "" where some are.
    """

    before: str
    after: str
    by: str
    rules: int
    kinds: tuple[str, ...]
    unread: Pair[int]
    mix: tuple[Mix, ...]
    mistaken: tuple[Mistaken, ...] = ()
    corrected: tuple[Corrected, ...] = ()
    reason: str = ""

    table = "corrected"

    def __repr__(self) -> str:
        told = "; ".join(f"{one.mistakes}: {one.within}" for one in self.corrected)
        return f"KindsResult({self.before} -> {self.after}, by {self.by}; inside kinds {told})"


def asked(settings: Settings) -> bool:
    """Whether a study's task sorts steps by their wording."""
    if settings.questions is None:
        return False
    return bool(offered("tasks")[settings.questions.task](settings).kinds)


def kinds_of(study: Study) -> KindsResult:
    """Which kinds of step there are, and whether mistaken kinds could make the split of the audit."""
    kinds, pair = task_of(study).kinds, pair_of(study)
    by = RULES if study.settings.kinds.server is None else SERVER
    confusions, reason = _labels(study, pair, kinds)
    return analyse(Arms.of(study), kinds, by, confusions, reason, seed=study.settings.seed)


def _labels(study: Study, pair: Pair[str], kinds: tuple[str, ...]) -> tuple[dict[str, Ints], str]:
    """Counts by writer, those of the arms in their order; why there are none."""
    file = study.settings.kinds.labels
    if file is None:
        return ({}, NO_LABELS) if study.settings.kinds.server is not None else (shipped(), "")
    path = Path(file).expanduser()
    found = {arm: labelled(path, arm, study.steps(arm), kinds) for arm in pair}
    few = [f"{arm}: {int(counts.sum())}" for arm, counts in found.items() if counts.sum() < LEAST]
    if few:
        told = f"{', '.join(few)}; {LEAST} of each arm are needed"
        return {}, f"{path.name} has too few labelled steps ({told})"
    return found, ""


def analyse(
    arms: Arms,
    kinds: tuple[str, ...],
    by: str,
    confusions: Mapping[str, Ints],
    reason: str = "",
    *,
    seed: int = 0,
) -> KindsResult:
    """The split's within term under mistakes.

    Args:
        arms: before and after.
        kinds: that there are.
        by: who named them.
        confusions: labelled steps by writer, true by found, [kinds, kinds] each: of the two arms under their
            names, or of two other writers.
        reason: why there are none.
        seed: of the draws.
    """
    steps, names = arms.steps, Pair(arms.steps.before.name, arms.steps.after.name)
    tables = np.stack([_counts(arm, kinds, wrong) for arm in steps for wrong in (True, False)], axis=1)
    undone = [
        Corrected(name, within_corrected(tables, np.stack(pair), seed=seed))
        for name, pair in _cases(confusions, names).items()
    ]
    return KindsResult(
        names.before,
        names.after,
        by,
        VERSION,
        kinds,
        Pair(*(int((arm.is_judged & (arm.steps["role"] == UNREAD)).sum()) for arm in steps)),
        tuple(Mix(kind, _share(tables, i)) for i, kind in enumerate(kinds)),
        tuple(_mistaken(name, own) for name, own in confusions.items()),
        (Corrected(AS_FOUND, within_corrected(tables)), *undone),
        reason,
    )


def _counts(arm: ArmSteps, kinds: tuple[str, ...], wrong: bool) -> Floats:
    """Wrong or judged steps of each text and kind, [texts, kinds]."""
    role = arm.steps["role"].to_numpy()
    columns = [arm.erroneous(role == kind) if wrong else arm.judged(role == kind) for kind in kinds]
    return by_text(np.stack(columns, axis=1), arm.text)


def _share(tables: Floats, kind: int) -> Paired:
    sums = [column for t in (1, 3) for column in (tables[:, t, kind], tables[:, t].sum(axis=1))]
    return Paired(rate_interval(*sums[:2]), rate_interval(*sums[2:]), ratio_difference_interval(*sums))


def _mistaken(writer: str, counts: Ints) -> Mistaken:
    n = int(counts.sum())
    right = np.zeros(n)
    right[: int(np.trace(counts))] = 1.0
    agree = rate_interval(right, np.ones(n), unit="labelled steps")
    return Mistaken(writer, agree, tuple(map(tuple, counts.tolist())))


def _cases(confusions: Mapping[str, Ints], names: Pair[str]) -> dict[str, tuple[Ints, Ints]]:
    """Mistakes that are undone, by what they are."""
    if not confusions:
        return {}
    if set(confusions) == set(names):
        return {OWN: (confusions[names.before], confusions[names.after])}
    (one, first), (other, second) = confusions.items()
    both = first + second
    return {
        f"mistaken in both as {one} and {other} together": (both, both),
        f"before as {one}, after as {other}": (first, second),
        f"before as {other}, after as {one}": (second, first),
    }


def summarised(result: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    """Its lines of summary.json: the change inside kinds, as found and with mistakes undone."""
    if "corrected" not in result:
        return {"value": None, "reason": result["reason"]}
    return {row["mistakes"]: pick(row["within"], INTERVAL) for row in result["corrected"]}
