"""Examples of every type of trace for the same questions, and what of the questions is kept for asking."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from mechcot.core.errors import DataError
from mechcot.core.records import EXAMPLES
from mechcot.distill.chains import Exercise
from mechcot.distill.variants import completion_of, to_tokens, told_apart
from mechcot.tasks.base import PromptFormat, Question, Verifiable
from mechcot.tasks.verifiable import Written, write_variants

TYPED_EXAMPLES = pa.schema(
    [
        *EXAMPLES,
        ("variant", pa.string()),
        ("reasoning_qid", pa.string()),  # whose reasoning it has; "": none
        ("n_tokens", pa.int32()),  # of the completion, by the tokenizer if there is one, else its words
    ]
)


@dataclass(frozen=True)
class Writing:
    """How examples are put.

    Attributes:
        form: of the study that they are for.
        prompt: a question as the student is asked it.
        count: tokens of a text.
    """

    form: PromptFormat
    prompt: Callable[[Question], str]
    count: Callable[[str], int]


@dataclass(frozen=True)
class Made:
    """Examples by variant, rows of `TYPED_EXAMPLES`, and why a question has none."""

    examples: dict[str, list[dict[str, Any]]]
    left_out: dict[str, str]

    def report(self) -> dict[str, Any]:
        """How many examples, questions and tokens each variant has."""
        return {
            name: {
                "n_examples": len(rows),
                "n_questions": len({row["qid"] for row in rows}),
                "n_tokens": sum(row["n_tokens"] for row in rows),
            }
            for name, rows in self.examples.items()
        }


def typed_examples(
    task: Verifiable, questions: Sequence[Question], names: Sequence[str], writing: Writing, seed: int
) -> Made:
    """An example of each variant for each question.

    A question that one of them cannot be written for is left out of all: they are matched on questions.

    Raises:
        DataError: none is left.
    """
    reasoning, left = write_variants(task, questions, names, seed)
    made = {name: rows_of(name, questions, reasoning[name], writing) for name in names}
    if not all(made.values()):
        raise DataError(
            f"none of {len(questions)} questions has a trace of each variant; the first: "
            f"{next(iter(left.values()))}"
        )
    return Made(made, left)


def rows_of(
    name: str, questions: Sequence[Question], reasoning: Mapping[str, Written], writing: Writing
) -> list[dict[str, Any]]:
    """Rows of `TYPED_EXAMPLES` with these reasonings, the answer always right."""
    rows = []
    for question in questions:
        if question.qid not in reasoning:
            continue
        own = reasoning[question.qid]
        text, start = completion_of(own.reasoning, Exercise(question), writing.form)
        rows.append(
            {
                "eid": f"{name}-{question.qid}",
                "qid": question.qid,
                "prompt": writing.prompt(question),
                "completion": text,
                "answer_start": start,
                "variant": name,
                "reasoning_qid": own.whose,
                "n_tokens": writing.count(text),
            }
        )
    return rows


def match(made: Made, by: Literal["questions", "tokens"], seed: int) -> Made:
    """Examples that are the same questions (as they are made), or as many tokens as the first variant's.

    By tokens, rows are repeated or left out by draw; a total is short of the first's by less than a row.
    """
    if by == "questions":
        return made
    first, *_ = made.examples.values()
    wanted = sum(row["n_tokens"] for row in first)
    matched = {
        name: told_apart(to_tokens(rows, wanted, random.Random(f"traces {seed} {name}")))
        for name, rows in made.examples.items()
    }
    return Made(matched, made.left_out)


# --- what is kept for asking ------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """Questions to train on and questions to ask."""

    train: list[Question]
    held_out: list[Question]
    leakage: dict[str, Any]


def part(task: Verifiable, questions: Sequence[Question], share: float, seed: int) -> Parts:
    """Hold out questions so that none shares its entity or a fact that bears its answer with one trained on.

    Questions that such a thing links go together. What may leak is told all the same: how many questions held
    out have an answer-bearing fact or an entity anywhere in the text of a question trained on.

    Raises:
        DataError: all questions are linked, so that nothing can be held out.
    """
    blocks = _blocks(task, questions)
    random.Random(f"held out {seed}").shuffle(blocks)
    blocks.sort(key=len, reverse=True)  # the large ones are trained on
    wanted, out = round(share * len(questions)), set[str]()
    for block in reversed(blocks):
        if len(out) + len(block) <= wanted:
            out |= {one.qid for one in block}
    if share > 0 and not out:
        raise DataError(
            f"no {share:.0%} of the questions can be held out: the smallest group that shares entities and "
            f"facts has {len(blocks[-1])} of {len(questions)}"
        )
    train = [one for one in questions if one.qid not in out]
    held = [one for one in questions if one.qid in out]
    return Parts(train, held, _leakage(task, train, held, random_share=share, seed=seed))


def _keys(task: Verifiable, question: Question) -> list[str]:
    return [
        f"entity {task.entity(question)}",
        *(f"fact {text}" for text in task.decompose(question)[-1].gold),
    ]


def _blocks(task: Verifiable, questions: Sequence[Question]) -> list[list[Question]]:
    """Questions linked by a shared entity or fact."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = [(i, key) for i, question in enumerate(questions) for key in _keys(task, question)]
    code = {key: len(questions) + i for i, key in enumerate(dict.fromkeys(key for _, key in pairs))}
    ends = np.array([(i, code[key]) for i, key in pairs]).T
    n = len(questions) + len(code)
    links = coo_matrix((np.ones(len(pairs)), (ends[0], ends[1])), shape=(n, n))
    _, label = connected_components(links, directed=False)
    blocks: dict[int, list[Question]] = {}
    for i, question in enumerate(questions):
        blocks.setdefault(int(label[i]), []).append(question)
    return list(blocks.values())


def _leakage(
    task: Verifiable, train: Sequence[Question], held: Sequence[Question], *, random_share: float, seed: int
) -> dict[str, Any]:
    """Held-out questions whose answer was met in training; beside it, had they been drawn one by one."""
    every = [*train, *held]
    rng = random.Random(f"by question {seed}")
    drawn = set(rng.sample(sorted(one.qid for one in every), len(held)))
    return {
        "n_train": len(train),
        "n_held_out": len(held),
        "share": random_share,
        **_met(task, train, held),
        "had_they_been_drawn": _met(
            task, [q for q in every if q.qid not in drawn], [q for q in every if q.qid in drawn]
        ),
    }


def _met(task: Verifiable, train: Sequence[Question], held: Sequence[Question]) -> dict[str, int]:
    lines = {line for one in train for line in one.stem.split("\n")}
    lines |= {text for one in train for text in task.decompose(one)[-1].gold}
    entities = {task.entity(one) for one in train}
    return {
        "n_fact_met": sum(any(text in lines for text in task.decompose(one)[-1].gold) for one in held),
        "n_entity_met": sum(task.entity(one) in entities for one in held),
    }
