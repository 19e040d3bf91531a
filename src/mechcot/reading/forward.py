"""Running a model over trees, or over the same texts one by one, and reading numbers off on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mechcot.core.errors import ReadingError
from mechcot.models.anatomy import Anatomy, as_found, watched
from mechcot.models.calling import calling_of
from mechcot.reading.attention import tree_attention
from mechcot.reading.inputs import LeadIn, QuestionInput, Target
from mechcot.reading.layout import Layout, alone, lay_out, lay_out_answer
from mechcot.reading.prefix_tree import Ints
from mechcot.reading.scoring import Floats, Scores, score
from mechcot.reading.spec import Recipe
from mechcot.study.activations import tensor_name

TRUTH_COLUMNS = ("p_truth", "rank_truth", "p_said", "rank_said", "entropy")

Work = tuple[QuestionInput, tuple[int, ...], bool]
"""A question, which of its traces, and whether answers are forced at its prompt too."""


@dataclass(frozen=True)
class Pass:
    """What a pass gave.

    Attributes:
        answers: log-probability of each answer in nats, by view (own output, then layers), [views, answers].
        entropy: before each completion token, [tokens].
        surprisal: of it, [tokens].
        truth: [targets, 5].
        acts: by `tensor_name`, each [spans, d_model].
    """

    answers: Floats
    entropy: Floats
    surprisal: Floats
    truth: Floats
    acts: dict[str, Tensor]


def run_trees(
    model: nn.Module, anatomy: Anatomy, layouts: Sequence[Layout], targets: Sequence[Target], recipe: Recipe
) -> Pass:
    """Run trees side by side in one row.

    Raises:
        ReadingError: a layer did not see them as separate texts.
    """
    return _run(model, anatomy, layouts, targets, recipe, trees=True)


def run_alone(model: nn.Module, anatomy: Anatomy, work: Sequence[Work], recipe: Recipe) -> Pass:
    """The same numbers by one plain run for each trace, and for each answer at each prefix.

    Raises:
        ReadingError: a knock-out was asked for, which needs a tree.
    """
    texts: list[Pass] = []
    answers: list[Floats] = []
    for question, members, prompt in work:
        for i in members:
            trace = question.traces[i]
            if trace.knock_outs:
                raise ReadingError(
                    f"{trace.name}: this model reads no trees, so no step can be hidden from it"
                )
            layout = lay_out(alone(question, i), (0,), False, recipe.rules)
            targets = () if question.permutation else trace.targets
            texts.append(_run(model, anatomy, [layout], targets, recipe, trees=False))
        for prefix, forced in _prefixes_of(question, members, prompt):
            for lead in forced:
                for option in range(len(lead.options)):
                    layout = lay_out_answer(prefix, lead, option)
                    none = Recipe(signals=False, lens=recipe.lens)
                    answers.append(_run(model, anatomy, [layout], (), none, trees=False).answers)
    views = 1 + len(anatomy.layers) * recipe.lens
    names = texts[0].acts if texts else {}
    return Pass(
        answers=np.concatenate([np.empty((views, 0)), *answers], axis=1),
        entropy=np.concatenate([text.entropy for text in texts]),
        surprisal=np.concatenate([text.surprisal for text in texts]),
        truth=np.concatenate([text.truth for text in texts]),
        acts={name: torch.cat([text.acts[name] for text in texts]) for name in names},
    )


def _prefixes_of(
    question: QuestionInput, members: Sequence[int], prompt: bool
) -> Iterator[tuple[list[int], tuple[LeadIn, ...]]]:
    start = list(question.prompt_ids)
    if prompt and len(question.prior_ids):
        yield list(question.prior_ids), question.forced
    if prompt:
        yield start, question.forced
    for trace in (question.traces[i] for i in members):
        for cut, forced in question.prefixes(trace):
            yield [*start, *trace.token_ids[:cut]], forced


def _run(
    model: nn.Module,
    anatomy: Anatomy,
    layouts: Sequence[Layout],
    targets: Sequence[Target],
    recipe: Recipe,
    *,
    trees: bool,
) -> Pass:
    offsets = np.cumsum([0, *(len(layout.token_ids) for layout in layouts)])

    def row(name: str) -> Ints:
        parts = [getattr(layout, name) + first for layout, first in zip(layouts, offsets, strict=False)]
        return np.concatenate(parts)

    def flat(name: str) -> Ints:
        return np.concatenate([getattr(layout, name) for layout in layouts])

    pair_row, pair_token = row("pair_row"), flat("pair_token")
    starts = _starts(layouts)
    kept = _Kept(layouts, offsets, recipe.rules, anatomy.device)
    lens = _Lens(anatomy, pair_row, pair_token)
    # A text by itself has the positions that the model gives it; RoBERTa's do not begin at 0.
    own = calling_of(anatomy.decoder).known(use_cache=False)
    if trees:
        own["position_ids"] = torch.from_numpy(flat("depth"))[None].to(anatomy.device)
    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(watched(anatomy, recipe.places, kept.see))
        if recipe.lens:
            stack.enter_context(watched(anatomy, [("resid_post", i) for i in anatomy.layers], lens.see))
        mask = stack.enter_context(_attention(anatomy, layouts, trees))
        output = anatomy.decoder(
            input_ids=torch.from_numpy(flat("token_ids"))[None].to(anatomy.device),
            **own,
            **({"attention_mask": mask} if trees else {}),
        )
        hidden = output.last_hidden_state[0]
        signal_row = row("signal_row")[: None if recipe.signals else 0]
        signal_token = flat("signal_token")[: len(signal_row)]
        # Signals and answers go through the head together: its weights are read once for both.
        scores = score(
            anatomy,
            hidden,
            np.concatenate([signal_row, pair_row]),
            np.concatenate([signal_token, pair_token]),
            entropy=recipe.signals,
        )
        said, logp = np.split(scores.logp, [len(signal_row)])
        truth = np.empty((0, len(TRUTH_COLUMNS)))
        if recipe.signals:
            truth = _truth(anatomy, hidden, targets, row("target_row"), scores)
    return Pass(
        answers=np.stack([_sums(view, starts) for view in (logp, *lens.views)]),
        entropy=scores.entropy_at(signal_row),
        surprisal=-said,
        truth=truth,
        acts=kept.arrived(anatomy.devices),
    )


@contextmanager
def _attention(anatomy: Anatomy, layouts: Sequence[Layout], trees: bool) -> Iterator[Any]:
    if not trees:
        yield None
        return
    blocks = len(anatomy.blocks)
    with tree_attention(anatomy.config, layouts, anatomy.windows, blocks, anatomy.device) as mask:
        yield mask


def _starts(layouts: Sequence[Layout]) -> Ints:
    offsets = np.cumsum([0, *(len(layout.pair_token) for layout in layouts)])
    return np.concatenate(
        [layout.answer_start + first for layout, first in zip(layouts, offsets, strict=False)]
    )


def _sums(logp: Floats, starts: Ints) -> Floats:
    result: Floats = np.add.reduceat(logp, starts) if len(starts) else np.empty(0)
    return result


class _Kept:
    """Activations of the spans of each rule, gathered and averaged as the layers come by."""

    def __init__(
        self, layouts: Sequence[Layout], offsets: Ints, rules: Sequence[str], device: torch.device
    ) -> None:
        self.acts: dict[str, Tensor] = {}
        self.spans: dict[str, tuple[Tensor, Tensor | None]] = {}
        for rule in rules:
            found = [layout.spans.get(rule, (np.empty(0, np.int64),) * 2) for layout in layouts]
            nodes = np.concatenate([part + first for (part, _), first in zip(found, offsets, strict=False)])
            lengths = np.concatenate([length for _, length in found])
            single = not len(lengths) or bool((lengths == 1).all())
            self.spans[rule] = (
                torch.from_numpy(nodes).to(device),
                None if single else torch.from_numpy(lengths).to(device),
            )

    def see(self, site: str, layer: int, hidden: Tensor) -> None:
        for rule, (nodes, lengths) in self.spans.items():
            taken = hidden.index_select(0, nodes.to(hidden.device))
            if lengths is not None:
                # Averaged in float32: a mean of many bfloat16 numbers would lose their last bits.
                mean = torch.segment_reduce(taken.float(), "mean", lengths=lengths.to(hidden.device))
                taken = mean.to(hidden.dtype)
            # A GPU goes on computing while it copies into pinned memory; `arrived` waits for all copies.
            self.acts[tensor_name(layer, rule, site)] = taken.to("cpu", non_blocking=taken.is_cuda)

    def arrived(self, devices: Sequence[torch.device]) -> dict[str, Tensor]:
        """The activations once they are there, as plain tensors outside of inference mode."""
        for device in devices:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        return {name: values.clone() for name, values in self.acts.items()}


class _Lens:
    """The forced answers read at each layer through the final norm and the head."""

    def __init__(self, anatomy: Anatomy, pair_row: Ints, pair_token: Ints) -> None:
        self.anatomy, self.row, self.token = anatomy, pair_row, pair_token
        self.views: list[Floats] = []

    def see(self, site: str, layer: int, hidden: Tensor) -> None:
        self.views.append(score(self.anatomy, hidden, self.row, self.token, norm=self.anatomy.norm).logp)


def _truth(
    anatomy: Anatomy, hidden: Tensor, targets: Sequence[Target], rows: Ints, signals: Scores
) -> npt.NDArray[np.float64]:
    """Probability and rank of the true and the said token, and the entropy, before each target."""
    if not targets:
        return np.empty((0, len(TRUTH_COLUMNS)))
    tokens = [np.array([*sorted(set(target.true_ids)), target.said_id], np.int64) for target in targets]
    lengths = np.array([len(row) for row in tokens])
    scores = score(anatomy, hidden, np.repeat(rows, lengths), np.concatenate(tokens), ranks=True)
    p, rank = np.exp(scores.logp), scores.rank.astype(np.float64)
    said = np.cumsum(lengths) - 1
    # Boundaries alternate: the run of true tokens, then the said token alone.
    starts = np.stack([said - lengths + 1, said], axis=1).ravel()
    sums, best = np.add.reduceat(p, starts)[::2], np.minimum.reduceat(rank, starts)[::2]
    return np.stack([sums, best, p[said], rank[said], signals.entropy_at(rows)], axis=1)
