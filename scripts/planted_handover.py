"""Hand-over where only the choice of claims, or only their decoding, was changed in the weights.

    python scripts/planted_handover.py --write   # docs/planted-handover.json, a table on the page; minutes

In each world a small transformer learns from text in which half of the subjects are well known and half are
hard: of these the true object is written in a minority of cases, though oftener than any other one. Then rows
of its unembedding are edited:

- `choice`: hard subjects are raised where a subject is written, and nowhere else on average;
- `decoding`: the objects' rows are drawn together about their mean, as a higher temperature of objects alone
  would do it, so that the likeliest object stays the likeliest; what objects together weigh stays on average.

Base and edited model write traces; both go on from both's, by the package's own code from the places to the
terms. All other terms are 0 but for what an edit spills over.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mechcot.analyses.handover.analysis import analyse
from mechcot.analyses.handover.places import Place, _at
from mechcot.analyses.handover.result import HandoverResult
from mechcot.analyses.handover.writing import Writer, next_steps
from mechcot.core import records
from mechcot.core.files import read_json, write_json, write_text
from mechcot.core.results import Interval, Pair
from mechcot.core.settings import SamplingSettings
from mechcot.judging.exact import judge_exactly
from mechcot.models.checkpoint import Checkpoint
from mechcot.sampling import Prompt, sample
from mechcot.sampling.traces import trace_rows
from mechcot.steps.table import step_rows
from mechcot.tasks import Question, Task, render_prompt
from mechcot.tasks.base import Claim, Judged, PromptFormat

DOCS = Path(__file__).parent.parent / "docs"
OUT, PAGE = DOCS / "planted-handover.json", DOCS / "text-or-weights.md"
WORLDS, TERMS = ("choice", "decoding"), ("knowledge", "decoding", "choice")
SEEDS, QUESTIONS, STEPS = 10, 24, 3
SUBJECTS = [f"s{i}" for i in range(16)]
OBJECTS = [f"o{i}" for i in range(8)]
ASKED = [f"q{i}" for i in range(QUESTIONS)]
WORDS = ("<pad>", "<eos>", "<unk>", "think", "is", ".", "answer", "yes", "no", *ASKED, *SUBJECTS, *OBJECTS)
KNOWN, HARD = 0.97, 0.45
"""How often the text that is learnt says the truth of a well-known and of a hard subject."""
RAISED, DRAWN = 2.5, 0.5
"""The edits: logits that hard subjects gain, and what is left of the objects' spread."""
ARMS = Pair("before", "after")
TRUTH = {subject: OBJECTS[(5 * i + 2) % len(OBJECTS)] for i, subject in enumerate(SUBJECTS)}
IS_HARD = {subject: i % 2 == 1 for i, subject in enumerate(SUBJECTS)}
FORMAT = PromptFormat(
    question="{stem} think", option="{text}", separator=" ", chat=False, thinking=None, reasoning_end="",
    answer_pattern=r"answer (?P<answer>yes|no)", answer_form="text", lead_in=(" answer",), exact=True,
)  # fmt: skip
_CLAIM = re.compile(r"(s\d+) is (o\d+)(?: \.)?$")


def claim(question: Question, text: str) -> Claim | None:
    """`s3 is o2 .` as a claim."""
    found = _CLAIM.match(text.strip())
    if found is None:
        return None
    subject, said = found.groups()
    kind = "hard" if IS_HARD[subject] else "known"
    return Claim("is", subject, said, False, (TRUTH[subject],), kind, found.end(1), found.start(2))


def check(question: Question, text: str) -> Judged:
    """Whether a step claims the truth; one that claims nothing is wrong."""
    found = claim(question, text)
    return Judged("correct" if found is not None and found.object in found.truth else "erroneous", "")


TASK = Task("planted", FORMAT, "sentences", role=lambda _, text: "claim", check=check, claim=claim)
BY_ID = {stem: Question(stem, "planted", stem, ("yes", "no"), i % 2, stem) for i, stem in enumerate(ASKED)}


def tokenizer_of() -> Any:
    """A token a word."""
    inner = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def learnt(seed: int, steps: int = 400) -> Any:
    """A model that has learnt the text of one world."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=48, eos_token_id=1,
        bos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    model, rng = LlamaForCausalLM(config), np.random.default_rng(seed)
    descent = torch.optim.Adam(model.parameters(), lr=4e-3)
    plan = torch.optim.lr_scheduler.LinearLR(descent, 1.0, 0.05, steps)
    for _ in range(steps):
        rows = torch.tensor([_text(rng) for _ in range(64)])
        logits = model(input_ids=rows).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, len(WORDS)), rows[:, 1:].reshape(-1))
        descent.zero_grad()
        loss.backward()
        descent.step()
        plan.step()
    return model.eval()


def _text(rng: np.random.Generator) -> list[int]:
    words = [ASKED[rng.integers(QUESTIONS)], "think"]
    for _ in range(STEPS):
        subject = SUBJECTS[rng.integers(len(SUBJECTS))]
        right = rng.random() < (HARD if IS_HARD[subject] else KNOWN)
        others = [name for name in OBJECTS if name != TRUTH[subject]]
        words += [subject, "is", TRUTH[subject] if right else others[rng.integers(len(others))], "."]
    words += ["answer", "yes" if rng.random() < 0.5 else "no", "<eos>"]
    return [WORDS.index(word) for word in words]


@torch.no_grad()
def edited(model: Any, world: str, seed: int) -> Any:
    """A copy whose unembedding is changed as the world says."""
    after, names = deepcopy(model), SUBJECTS if world == "choice" else OBJECTS
    head, rng = after.lm_head.weight, np.random.default_rng([seed, 1])
    rows = torch.tensor([_text(rng) for _ in range(256)])
    states = model(input_ids=rows, output_hidden_states=True).hidden_states[-1][:, :-1]
    told = torch.tensor([WORDS.index(name) for name in names])
    here = torch.isin(rows[:, 1:], told)  # what comes next is one of them
    chosen, elsewhere = states[here].mean(0), states[~here].mean(0)
    way = chosen - (chosen @ elsewhere) / (elsewhere @ elsewhere) * elsewhere
    way /= way @ chosen  # adds 1 to a logit here on average, and 0 elsewhere
    if world == "choice":
        head[told[[IS_HARD[name] for name in SUBJECTS]]] += RAISED * way
        return after
    total = (states[here] @ head[told].T).logsumexp(-1).mean()
    middle = head[told].mean(0)
    head[told] = middle + DRAWN * (head[told] - middle)
    head[told] += (total - (states[here] @ head[told].T).logsumexp(-1).mean()) * way
    return after


def handed(models: Pair[Any], seed: int, traces: int) -> HandoverResult:
    """The hand-over between two models, from the traces that each writes."""
    tokenizer = tokenizer_of()
    writers = [
        Writer(
            arm=arm, checkpoint=Checkpoint(arm, model, tokenizer, (1,), 48), task=TASK, questions=BY_ID,
            sampling=SamplingSettings(temperature=1.0, max_new_tokens=6, batch_rows=512), samples=4,
            window=90, seed=seed,
        )
        for arm, model in zip(ARMS, models, strict=True)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        places, by_key = _texts(writers, traces, seed, work)
        parts = [next_steps(own, places, by_key, work / own.arm, progress=False) for own in writers]
    told, steps = (
        pd.concat(
            [pd.DataFrame(part[i]).assign(writer=arm) for arm, part in zip(ARMS, parts, strict=True)],
            ignore_index=True,
        )
        for i in (0, 1)
    )
    whole = steps[steps.outcome == "step"].reset_index(drop=True)
    judged = pd.DataFrame(judge_exactly(whole.assign(sid=0, complete=True), BY_ID, TASK))
    return analyse(
        pd.DataFrame([vars(question) for question in BY_ID.values()]),
        ARMS,
        told,
        steps,
        whole.assign(instrument="exact", label=judged.label),
        temperature=1.0,
    )


def _texts(
    writers: Sequence[Writer], traces: int, seed: int, work: Path
) -> tuple[list[Place], dict[tuple[str, str, int], Any]]:
    """Every place of the traces that both write, and these by question, arm and sample."""
    places, by_key = [], {}
    for own in writers:
        prompts = [
            Prompt(qid, tuple(render_prompt(question, FORMAT, own.checkpoint.tokenizer)[1]))
            for qid, question in BY_ID.items()
        ]
        room = own.sampling.model_copy(update={"samples": traces, "max_new_tokens": 24})
        done = sample(
            own.checkpoint, prompts, room, arm=own.arm, seed=seed, work=work / f"{own.arm} texts",
            progress=False,
        )  # fmt: skip
        rows = trace_rows(done, prompts, BY_ID, FORMAT, own.checkpoint.tokenizer, own.arm)
        table = pd.DataFrame(rows)
        by_key |= {(row.qid, row.arm, int(row.cid)): row for row in records.rows(table)}
        steps = pd.DataFrame(step_rows(table, BY_ID, TASK))
        for (qid, cid), own_steps in records.rows_by_key(steps, ["qid", "cid"]).items():
            text = by_key[qid, own.arm, cid].text
            for k in range(len(own_steps)):
                places += _at(BY_ID[qid], TASK, text, own_steps, k, seed)
    return places, by_key


def run(world: str, seed: int, before: Any, traces: int = 3) -> dict[str, Any]:
    """The terms of one world, mean over both models' text.

    Args:
        world: what is edited.
        seed: of the edit's sample and of all draws.
        before: the model, of `learnt`.
        traces: of each question and model.
    """
    found = handed(Pair(before, edited(before, world, seed)), seed, traces)
    mean = next(one for one in found.terms if one.prefix == "mean")
    told = {name: leaf(getattr(mean, name)) for name in ("weights", *TERMS)}
    return {"world": world, "seed": seed, "n_prefixes": sum(found.n_prefixes.values()), **told}


def leaf(interval: Interval) -> list[float | None]:
    """Estimate, lower and upper end; where all questions are alike, no ends."""
    ends = (interval.estimate, interval.low, interval.high)
    return [None if value is None else round(value, 4) for value in ends]


def covers(told: Sequence[float | None]) -> bool:
    """Whether an interval holds 0; one that does not exist, because no question differs, does if it is 0."""
    value, low, high = told
    if low is None or high is None:
        return value == 0
    return low <= 0 <= high


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A row a world and term: mean estimate, and in how many models the interval holds 0."""
    lines = ["| changed | models | " + " | ".join(TERMS) + " |", "|---|---|" + "---|" * len(TERMS)]
    for world in WORLDS:
        own = [row for row in rows if row["world"] == world]
        cells = []
        for name in TERMS:
            mean = 100 * float(np.mean([row[name][0] for row in own]))
            held = sum(covers(row[name]) for row in own)
            cells.append(f"{mean:+.1f} points; covers 0 in {held} of {len(own)}")
        lines.append(f"| {world} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write what was measured; without --write from the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--write", action="store_true", help="measure all, and put it into docs/")
    given = parser.parse_args()
    if given.write:
        rows = []
        for seed in range(given.seeds):
            before = learnt(seed)
            for world in WORLDS:
                rows.append(run(world, seed, before))
                print(rows[-1], file=sys.stderr)
        write_json(OUT, rows)
    rows = read_json(OUT)
    print(table(rows))
    start, end = "<!-- planted-handover -->\n", "<!-- /planted-handover -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(start)
    write_text(PAGE, before + start + table(rows) + "\n" + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
