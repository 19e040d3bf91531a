"""Claims written with a hedge and without: an arm's own steps in both forms, in tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from mechcot.core import records
from mechcot.reading.seams import whole_tokens
from mechcot.steps.hedging import hedged_pair
from mechcot.steps.of_study import questions_by_id
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task
from mechcot.tasks.tokens import following, shared_prefix

NO_PAIR, ONE_TEXT, OTHER_PLACE, UNKNOWN = (
    "it cannot be written both ways",
    "both texts are the same tokens",
    "nothing follows the hedge",
    "the tokenizer does not know the hedge",
)
"""Why a step makes no pair."""


@dataclass(frozen=True)
class Pair:
    """One claim in both forms.

    Attributes:
        row: of `hedge_pairs.design.PAIRS`.
        hedged: all tokens of the prompt and the text up to the claim's end.
        plain: the same without the hedge.
        common: tokens at their ends that both share.
    """

    row: dict[str, Any]
    hedged: tuple[int, ...]
    plain: tuple[int, ...]
    common: int


def source_of(task: Task) -> str:
    """What writes a claim with a hedge and without."""
    return "the task's own hedge" if task.hedge_pair else "rules for English (steps/hedging.py)"


def pairs_of(
    study: Study, arm: str, task: Task, tokenizer: Any, most: int
) -> tuple[list[Pair], Counter[str]]:
    """The first steps of each question that can be written both ways, and why others cannot.

    Args:
        study: its traces and steps.
        arm: whose.
        task: says how a claim is hedged; else the rules of `steps.hedging` do.
        tokenizer: of the arm.
        most: pairs a question.
    """
    questions, domain = questions_by_id(study), set(study.questions(study.settings.contrast.domain).qid)
    traces = {(row.qid, row.cid): row for row in records.rows(study.traces(arm))}
    kinds = study.claims(arm).set_index(["qid", "cid", "sid"]).relation.to_dict()
    found: dict[str, list[Pair]] = {}
    lost: Counter[str] = Counter()
    for step in records.rows(study.steps(arm).sort_values(["qid", "cid", "sid"])):
        own = found.setdefault(step.qid, [])
        if step.qid not in domain or len(own) >= most or not step.complete:
            continue
        forms = _forms(task, questions[step.qid], step.text)
        if forms is None:
            lost[NO_PAIR] += 1
            continue
        pair = _pair(traces[step.qid, step.cid], step, forms, tokenizer)
        if isinstance(pair, str):
            lost[pair] += 1
            continue
        kind = kinds.get((step.qid, step.cid, step.sid), step.role)
        row = {"qid": step.qid, "cid": int(step.cid), "sid": int(step.sid), "kind": str(kind)}
        own.append(Pair({**row, **pair.row}, pair.hedged, pair.plain, pair.common))
    return [pair for own in found.values() for pair in own], lost


def _forms(task: Task, question: Question, text: str) -> tuple[str, str] | None:
    """A step with a hedge and without."""
    return hedged_pair(text) if task.hedge_pair is None else task.hedge_pair(question, text)


def _pair(trace: Any, step: Any, forms: tuple[str, str], tokenizer: Any) -> Pair | str:
    """Both forms in tokens behind the step's own prefix, or why they make no pair."""
    ids = [int(i) for i in trace.token_ids]
    starts = [int(i) for i in trace.token_start]
    count, known = whole_tokens(tokenizer, trace.text, ids, starts, int(step.char_start))
    lead = trace.text[known : step.char_start]
    head = (*(int(i) for i in trace.prompt_ids), *ids[:count])
    hedged, plain = ((*head, *following(tokenizer, f"{lead}{form.rstrip()}")) for form in forms)
    if hedged == plain:
        return ONE_TEXT
    same = shared_prefix((hedged, plain))
    most = min(len(hedged), len(plain)) - same  # the ends do not reach into what begins alike
    common = min(shared_prefix((hedged[::-1], plain[::-1])), most)
    if not common:
        return OTHER_PLACE
    apart = [list(ids[same : len(ids) - common]) for ids in (hedged, plain)]
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in (*apart[0], *apart[1]):
        return UNKNOWN
    was_hedged = step.text.strip() == forms[0].strip()
    row = {"was_hedged": was_hedged, "hedged_ids": apart[0], "plain_ids": apart[1]}
    return Pair(row, hedged, plain, common)
