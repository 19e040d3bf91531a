"""The same claims with a hedge and without, read by both arms: hedge-pairs/ in the study's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mechcot.analyses.arms import pair_of
from mechcot.analyses.hedge_pairs.design import BEHIND, END, PAIRS, WORD_IN, WORD_OUT, key_of
from mechcot.core import files, records
from mechcot.core.progress import Progress
from mechcot.models.anatomy import anatomy_of, as_found
from mechcot.models.calling import calling_of
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.models.devices import input_device
from mechcot.models.interventions import record
from mechcot.reading.seams import whole_tokens
from mechcot.steps.hedging import hedged_pair
from mechcot.steps.of_study import questions_by_id
from mechcot.study.folder import Study
from mechcot.tasks import Question, Task
from mechcot.tasks.tokens import following, shared_prefix

TOKENS = 4096
"""Tokens of one pass."""
FEWEST = 20
"""Pairs below which nothing is said."""
NO_PAIR, ONE_TEXT, OTHER_PLACE = (
    "it cannot be written both ways",
    "both texts are the same tokens",
    "nothing follows the hedge",
)
"""Why a step makes no pair."""


@dataclass(frozen=True)
class Pair:
    """One claim in both forms.

    Attributes:
        row: of `design.PAIRS`.
        hedged: all tokens of the prompt and the text up to the claim's end.
        plain: the same without the hedge.
        common: tokens at their ends that both share.
    """

    row: dict[str, Any]
    hedged: tuple[int, ...]
    plain: tuple[int, ...]
    common: int


def make(study: Study, task: Task, folder_of: Callable[[str], Path], *, progress: bool) -> None:
    """Make `hedge-pairs/` of a study: pairs of the arm before's own steps, and both arms' states in them.

    Where there are too few, `about.json` holds the reason. The passes are few, and begin anew after a kill.

    Args:
        study: its traces and steps must be there, and the arm before's reading.
        task: of the study.
        folder_of: arm to the folder of its weights.
        progress: whether to draw bars.
    """
    out, (before, after) = study.path / "hedge-pairs", pair_of(study)
    settings = study.settings.localisation
    assert settings is not None  # else there is no stage
    first = load(study.settings.arms[before], folder_of(before), study.settings.device)
    pairs, lost = pairs_of(study, before, task, first.tokenizer, settings.slots)
    about: dict[str, Any] = {
        "lost": dict(sorted(lost.items())),
        "source": "the task's own hedge" if task.hedge_pair else "rules for English (steps/hedging.py)",
    }
    if len(pairs) < FEWEST:
        about["reason"] = (
            f"{before}: {len(pairs)} claims can be written with a hedge and without; {FEWEST} are needed"
        )
        records.write_table(out / "pairs.parquet", [], PAIRS)
        files.write_json(out / "about.json", about)
        return
    # At layer 0, the embedding, the tokens that are read are the same in both texts.
    places = study.activations(before).places
    layers = [layer for site, layer in places if site == "resid_post" and layer > 0]
    about |= {"layers": layers, "no_states": {}}
    for arm in dict.fromkeys((before, after)):
        checkpoint = (
            first if arm == before else load(study.settings.arms[arm], folder_of(arm), study.settings.device)
        )
        why = _unlike(checkpoint, first, before, layers)
        if why:
            about["no_states"][arm] = why
            continue
        with Progress(f"pairs read by {arm}", len(pairs), "pair", shown=progress) as bar:
            tensors = states_of(checkpoint, pairs, layers, bar.update)
        _save(out / f"{arm}.safetensors", tensors)
    records.write_table(out / "pairs.parquet", [one.row for one in pairs], PAIRS)
    files.write_json(out / "about.json", about)


def _unlike(checkpoint: Checkpoint, first: Checkpoint, before: str, layers: Sequence[int]) -> str:
    """Why an arm cannot read the pairs; "" if it can."""
    if checkpoint.tokenizer.get_vocab() != first.tokenizer.get_vocab():
        return f"it has other tokens than {before}, whose texts these are"
    depth = len(anatomy_of(checkpoint.model).blocks)
    return "" if max(layers) <= depth else f"it has {depth} layers, {before} was read at {max(layers)}"


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
    row = {
        "was_hedged": step.text.strip() == forms[0].strip(),
        "hedged_ids": list(hedged[same : len(hedged) - common]),
        "plain_ids": list(plain[same : len(plain) - common]),
    }
    return Pair(row, hedged, plain, common)


def states_of(
    checkpoint: Checkpoint, pairs: Sequence[Pair], layers: Sequence[int], done: Callable[[int], Any]
) -> dict[str, NDArray[np.float32]]:
    """Hedged less plain states at every place, [pairs, d_model], and the words' own embeddings.

    The difference is taken in float32 of states in the model's dtype.
    """
    found: dict[str, list[NDArray[np.float32]]] = {}
    order: list[int] = []
    for batch in _batches(pairs):
        own = [pairs[at] for at in batch]
        kept = {}
        for form in ("hedged", "plain"):
            texts = [getattr(pair, form) for pair in own]
            kept[form] = _read(checkpoint.model, texts, [pair.common for pair in own], layers)
        for place, hedged in kept["hedged"].items():
            found.setdefault(place, []).append((hedged - kept["plain"][place]).cpu().numpy())
        order += batch
        done(len(batch))
    back = np.argsort(order)
    tensors = {place: np.concatenate(parts)[back] for place, parts in found.items()}
    return tensors | _words(checkpoint.model, pairs)


def _batches(pairs: Sequence[Pair]) -> Iterator[list[int]]:
    batch: list[int] = []
    for at in sorted(range(len(pairs)), key=lambda at: (len(pairs[at].hedged), at)):
        longest = max(len(pairs[at].hedged), len(pairs[at].plain))
        if batch and (len(batch) + 1) * longest > TOKENS:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _read(
    model: Any, texts: Sequence[Sequence[int]], common: Sequence[int], layers: Sequence[int]
) -> dict[str, Tensor]:
    """States of some texts at both positions, [texts, d_model], float32.

    Shorter texts are filled up behind their end, which a causal model does not see.
    """
    width = max(map(len, texts))
    rows = [[*text, *([text[-1]] * (width - len(text)))] for text in texts]
    with record(model, layers=list(layers)) as kept, as_found(model):
        ids = torch.tensor(rows, device=input_device(model))
        model(input_ids=ids, **calling_of(model).known(use_cache=False, logits_to_keep=1))
    at = {
        END: [len(text) - 1 for text in texts],
        BEHIND: [len(text) - n for text, n in zip(texts, common, strict=True)],
    }
    return {
        key_of(position, layer): kept[layer][torch.arange(len(texts)), torch.tensor(index)].float()
        for layer in layers
        for position, index in at.items()
    }


def _words(model: Any, pairs: Sequence[Pair]) -> dict[str, NDArray[np.float32]]:
    """Embedding and unembedding of the words put in, less those taken out, mean over pairs, [d_model]."""
    tables = {
        WORD_IN: model.get_input_embeddings().weight,
        WORD_OUT: model.get_output_embeddings().weight,
    }
    found = {}
    for name, table in tables.items():
        total = torch.zeros(table.shape[1], dtype=torch.float64)
        for pair in pairs:
            for ids, sign in ((pair.row["hedged_ids"], 1.0), (pair.row["plain_ids"], -1.0)):
                rows = table[torch.tensor(ids, dtype=torch.long, device=table.device)]
                total += sign * rows.detach().double().cpu().sum(dim=0)
        found[name] = (total / len(pairs)).float().numpy()
    return found


def _save(path: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    from safetensors.numpy import save

    with files.whole(path) as out:
        out.write(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))
