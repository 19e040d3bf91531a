"""A hedge direction that was wired into toy transformers, toys without one, and the late rise of any words.

    python scripts/planted_hedge.py --write   # docs/planted-hedge.json and a block of docs/hedge.md; minutes

Each toy is a random transformer of 6 layers. *Wired*: one attention head of one layer reads whether the
subject is marked as seldom met, a direction that nothing else reads, and writes the direction which the
unembedding of the hedge reads. The arm after is the same model without that head's output, and every matrix
changed at random by a low rank. *Without*: the same without the wire, in both arms; kinds of claim differ in
how often they are hedged. Hedges are drawn from the model's own probability. Each toy goes through the tool:
the direction by layer with its nulls, the patches with theirs.

*Late rise* (methods of patching): random transformers of 12 layers, a random change of low rank, 17 random
tokens as the hedge. Places are those of the tool, chosen by what they are, or those at which the first model
says the hedge most often; the gap, where it is recovered along the layers, and p.

Sizes were chosen on seeds 100-104, what patches are held against on seeds 100-399; the tables are of seeds
from 3000.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from mechcot.analyses.hedge.analysis import direction
from mechcot.analyses.localisation.analysis import analyse
from mechcot.analyses.localisation.design import AFTER, BEFORE, DENOISE, RESID, Run
from mechcot.analyses.localisation.making import bench_of, patch_batch, set_rows, tables
from mechcot.analyses.localisation.patching import Slot, at_the_place, log_odds, patched
from mechcot.analyses.localisation.result import LocalisationResult
from mechcot.core.localisation_settings import LocalisationSettings
from mechcot.core.words import plain_signs
from mechcot.models.interventions import record

DOCS = Path(__file__).parent.parent / "docs"
OUT, PAGE = DOCS / "planted-hedge.json", DOCS / "hedge.md"
FIRST_SEED, MORE_SEED = 3000, 4000
STRENGTHS = (1.0, 2.0, 4.0)
"""Nats between a marked and an unmarked subject."""
WIRED, WITHOUT, LATE = 25, 100, 100
"""Toys: of each strength, without a wire, and of the late rise."""
DEPTH, WIDTH, HEADS, VOCABULARY = 4, 48, 4, 160
QUESTIONS, TRACES = 60, 4
HEDGE, SUBJECTS, FILLERS = 3, range(10, 10 + QUESTIONS), range(80, 140)
VERBS = (range(140, 150), range(150, 160))
"""Of each of the two kinds of claim."""
LEVEL = -1.2
"""Log-odds of a hedge about an unmarked subject, mean."""
CHANGE = 0.1
"""Norm of the random change of a matrix over its own."""
ASKED = LocalisationSettings(sets=100, tokens=1, layers=None)
WITHOUT_HEADS = ASKED.model_copy(update={"heads": False})
DRAWS = 200
"""Refits on shuffled labels; with fewer, p over all layers could not be below 0.05."""
SIZES = (17, 1)
"""Words of a random hedge that the tool is asked about."""
LATE_DEPTH, LATE_WORDS, LATE_SLOTS, LATE_CHANGE = 12, SIZES[0], 160, 0.3
GROWTH = 1.25
"""How much more each layer of the late rise writes than the one before."""
PICKED = 40
"""Places of the late rise at which a hedge is likeliest."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Toy:
    """Two arms and what is known of them."""

    before: Any  # with the wire, if there is one
    after: Any
    unwired: Any  # the arm before with nothing but the wire taken out
    written: Floats  # direction that the wire writes, [width]
    layer: int | None  # of the wire


def random_model(seed: int, depth: int, width: int, heads: int, vocabulary: int) -> Any:
    """A random transformer whose blocks write about as much as the embedding, and whose logits are spread."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=depth,
        num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=32, bos_token_id=1,
        eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, own in model.named_parameters():
            if own.dim() == 2:
                scale = 1.0 if "embed" in name else own.shape[1] ** -0.5
                own.copy_(torch.randn_like(own) * scale)
        model.lm_head.weight.mul_(1.5)
    return model


def low_rank(model: Any, seed: int, size: float = CHANGE, rank: int = 2) -> Any:
    """A copy with every matrix of the blocks moved at random, as fine-tuning by LoRA moves them."""
    torch.manual_seed(seed)
    moved = deepcopy(model)
    with torch.no_grad():
        for name, own in moved.named_parameters():
            if own.dim() == 2 and "layers" in name:
                change = torch.randn(own.shape[0], rank) @ torch.randn(rank, own.shape[1])
                own += size * change * own.norm() / change.norm()
    return moved


@torch.no_grad()
def toy_of(seed: int, strength: float) -> Toy:
    """A toy in which marked subjects are hedged `strength` nats more often; 0: without a wire."""
    rng = np.random.default_rng(seed)
    model = random_model(seed, DEPTH, WIDTH, HEADS, VOCABULARY)
    basis = torch.tensor(np.linalg.qr(rng.standard_normal((WIDTH, 3)))[0].T, dtype=torch.float32)
    written, marked, unmarked = basis
    for name, own in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            own -= basis.T @ (basis @ own)  # nothing else writes it, or marks
        elif "embed" in name:
            own -= own @ basis.T @ basis
        elif own.dim() == 2 and "layers" in name:
            own -= own @ basis[1:].T @ basis[1:]  # marks are read by the wire alone
    model.lm_head.weight -= torch.outer(model.lm_head.weight @ written, written)
    model.lm_head.weight[HEDGE] = written * model.lm_head.weight.norm(dim=1).mean()
    table = model.model.embed_tokens.weight
    length = WIDTH**0.5 / 2
    for subject in SUBJECTS:
        table[subject] += length * (marked if is_marked(subject) else unmarked)
    if not strength:
        _set_level(model, seed, written)
        return Toy(model, low_rank(model, seed + 1), model, written.double().numpy(), None)
    layer, wide = int(rng.integers(1, DEPTH + 1)), WIDTH // HEADS
    attention = model.model.layers[layer - 1].self_attn
    head = slice(0, wide)
    attention.q_proj.weight[head] = 0  # it attends to all tokens alike
    attention.v_proj.weight[head] = 0
    attention.v_proj.weight[0] = marked
    attention.o_proj.weight[:, head] = 0
    _set_level(model, seed, written)
    unwired = deepcopy(model)
    for size in (1.0, None):  # the norm makes an effect of another size than what is written
        if size is None:
            marks = np.array([is_marked(slot.ids[1]) for slot in slots_of(seed)])
            odds = hedges(model, slots_of(seed)) - hedges(unwired, slots_of(seed))
            size = strength / float(odds[marks].mean())
        attention.o_proj.weight[:, 0] = size * written
    return Toy(model, low_rank(unwired, seed + 1), unwired, written.double().numpy(), layer)


def is_marked(subject: int) -> bool:
    """Every other subject is seldom met."""
    return subject % 2 == 0


def _set_level(model: Any, seed: int, written: torch.Tensor) -> None:
    """Bring hedges of unmarked subjects to `LEVEL`, those of the one kind above those of the other."""
    table, slots = model.model.embed_tokens.weight, slots_of(seed)
    plain = [slot for slot in slots if not is_marked(slot.ids[1])]
    for _ in range(3):
        odds = hedges(model, plain)
        for verbs, apart in zip(VERBS, (-0.4, 0.4), strict=True):
            own = np.array([slot.ids[-1] in verbs for slot in plain])
            table[list(verbs)] += (LEVEL + apart - float(odds[own].mean())) * written


def slots_of(seed: int) -> list[Slot]:
    """Places in front of which a claim is hedged or asserted: all claims of all questions.

    A text is: beginning, subject, four words, a verb of one of the two kinds.
    """
    rng, found = np.random.default_rng([seed, 1]), []
    for at, subject in enumerate(SUBJECTS):
        for trace in range(TRACES):
            words = (int(i) for i in rng.choice(list(FILLERS), 4))
            found.append(Slot(f"q{at:02d}", (1, subject, *words, int(rng.choice(VERBS[trace % 2])))))
    return found


def hedges(model: Any, slots: Sequence[Slot]) -> Floats:
    """Log-odds of the hedge, [slots], nats."""
    found: Floats = log_odds(at_the_place(model, slots), [[HEDGE]])[:, 0]
    return found


def located(
    models: Any, slots: Sequence[Slot], hedge: Sequence[int], asked: Any = ASKED
) -> LocalisationResult:
    """The tool's patches and their analysis."""
    bench, about = bench_of(dict(zip((BEFORE, AFTER), models, strict=True)), slots, hedge, asked, 0)
    done = [(unit.arguments[0], patch_batch(bench, unit)) for unit in bench.units]
    values, means = (pd.DataFrame(rows) for rows in tables(bench, done))
    sets, reads = pd.DataFrame(set_rows(bench.chosen)), pd.DataFrame()
    return analyse(values, means, sets, reads, about, "before", "after")


def measured(seed: int, strength: float) -> dict[str, Any]:
    """What the tool says of one toy, and the truth."""
    toy, slots = toy_of(seed, strength), slots_of(seed)
    drawn = np.random.default_rng([seed, 2]).random(len(slots))
    claims = pd.DataFrame(
        {
            "arm": "before",
            "qid": [slot.qid for slot in slots],
            "relation": [f"kind {slot.ids[-1] // 10}" for slot in slots],
            "hedged": drawn < 1 / (1 + np.exp(-hedges(toy.before, slots))),
        }
    )
    layers = list(range(DEPTH + 1))
    with record(toy.before, layers=layers) as kept:
        at_the_place(toy.before, slots)
    states = {layer: kept[layer][:, -1].double().numpy() for layer in layers}
    found = direction(states, claims, null_draws=DRAWS, seed=seed)
    told = [one.layer for one in found.by_layer if beyond(one)]
    best = max(found.by_layer, key=lambda one: one.auroc.estimate or 0.0)
    first = slots[::TRACES]  # a claim of each question
    way = located((toy.before, toy.after), first, [HEDGE]).restored
    middles = [abs(one.null.low + one.null.high) / 2 for one in way.increments if one.null is not None]
    known: dict[str, Any] = {}
    if toy.layer is not None:
        written = found.directions[toy.layer]
        head = max(way.head_shares, key=lambda one: one[1] or 0.0)[0]
        known = {
            "head": [head.layer, head.head] == [toy.layer, 0],
            "cosine": round(float(written @ toy.written / np.linalg.norm(written)), 3),
            "truth": round(there(toy, first), 3),
            "recovered": round(way.increments[toy.layer].nats.estimate or 0.0, 3),
        }
    return {
        "seed": seed,
        "strength": strength,
        "layer": toy.layer,
        "hedged": round(float(claims.hedged.mean()), 3),
        "first": min(told, default=None),
        "auroc": round(best.auroc.estimate or 0.0, 3),
        "report": best.auroc.low is not None
        and best.auroc.low > 0.5
        and (best.auroc.estimate or 0.0) > best.random.high,
        "peak": way.peak,
        "peak_p": round(way.peak_p or 0.0, 4),
        "heads_p": round(way.heads_p or 0.0, 4),
        "null": round(float(np.mean(middles)), 3),
        **known,
    }


def without(seed: int) -> float:
    """The p of the largest stretch in a toy without a wire, patches alone."""
    toy, slots = toy_of(seed, 0.0), slots_of(seed)[::TRACES]
    return round(located((toy.before, toy.after), slots, [HEDGE], WITHOUT_HEADS).restored.peak_p or 0.0, 4)


def beyond(score: Any) -> bool:
    """Whether hedges are foretold at a layer beyond refits on shuffled labels, all layers counted."""
    return score.auroc.estimate > 0.5 and score.shuffled.p * (DEPTH + 1) <= 0.05


def there(toy: Toy, slots: Sequence[Slot]) -> float:
    """What the wire adds at the last token: its own model's state behind it in the one without, nats."""
    run = [Run(DENOISE, RESID, toy.layer or 0, 0)]
    (put,) = patched(toy.before, toy.unwired, slots, run)
    return float((log_odds(put, [[HEDGE]])[:, 0] - hedges(toy.unwired, slots)).mean())


def late(seed: int) -> dict[str, Any]:
    """The late rise of random words between two random models, at places of two rules, and the tool's p."""
    before = random_model(seed, LATE_DEPTH, WIDTH, HEADS, VOCABULARY)
    for layer, block in enumerate(before.model.layers):  # as in trained models
        for part in (block.self_attn.o_proj, block.mlp.down_proj):
            part.weight.data *= GROWTH**layer
    after, rng = low_rank(before, seed + 1, LATE_CHANGE), np.random.default_rng(seed)
    texts = rng.integers(3, VOCABULARY, (LATE_SLOTS, 7))
    slots = [Slot(f"q{at:03d}", tuple(int(i) for i in text)) for at, text in enumerate(texts)]
    sets = [rng.choice(np.arange(3, VOCABULARY), LATE_WORDS, replace=False).tolist() for _ in range(101)]
    runs = [Run(DENOISE, RESID, layer, 0) for layer in range(1, LATE_DEPTH + 1)]
    passes = [at_the_place(after, slots), *patched(before, after, slots, runs), at_the_place(before, slots)]
    odds = np.stack([log_odds(logp, sets) for logp in passes])  # [passes, slots, sets]
    mass = 1 / (1 + np.exp(-odds[[0, -1]]))
    everywhere = np.tile(np.arange(LATE_SLOTS)[:, None], (1, len(sets)))
    own = np.argsort(-mass[1], axis=0)[:PICKED]  # each set at its own likeliest places
    found = {
        "all": rise(odds, mass, everywhere),
        "picked": rise(odds, mass, own),
        "picked once": rise(odds, mass, np.tile(own[:, :1], (1, len(sets)))),
    }
    tool = {n: _told(located((before, after), slots[:PICKED], sets[0][:n], WITHOUT_HEADS)) for n in SIZES}
    return {"seed": seed, **found, "tool": tool}


def _told(found: LocalisationResult) -> dict[str, float]:
    """The p of the tool."""
    way = found.restored
    told = {"gap_p": way.gap_null.p if way.gap_null else 1.0, "peak_p": way.peak_p, "late_p": way.late_p}
    return {name: round(p, 4) for name, p in told.items() if p is not None}


def rise(odds: Floats, mass: Floats, places: NDArray[np.int64]) -> dict[str, Any]:
    """The first set's gap and recovery at some places, and how often the other sets have as much.

    Passes of `odds`, [passes, slots, sets]: the host, the patches layer by layer, the donor. `mass` is of
    host and donor; `places` are the slots of each set, [slots chosen, sets].
    """
    means = np.take_along_axis(odds, places[None], axis=1).mean(axis=1)  # [passes, sets]
    gaps = np.take_along_axis(mass, places[None], axis=1).mean(axis=1)
    gap = means[-1] - means[0]
    recovered = (means[1:-1] - means[0]) / np.where(np.abs(gap) < 0.05, np.nan, gap)  # [layers, sets]
    steps = np.diff(recovered, axis=0, prepend=0.0)
    ends = 1.0 - recovered[-4]  # what the last three layers add
    known = ~np.isnan(ends[1:])
    return {
        "gap": round(float(gaps[1, 0] - gaps[0, 0]), 5),
        "gap_p": round((1 + int((gap[1:] >= gap[0]).sum())) / len(gap), 4),
        "recovered": None if np.isnan(ends[0]) else [round(float(one), 3) for one in recovered[:-4:-1, 0]],
        "latest": None if np.isnan(ends[0]) else bool(np.argmax(steps[:, 0]) >= LATE_DEPTH - 3),
        "late_p": None
        if np.isnan(ends[0])
        else round((1 + int((ends[1:][known] >= ends[0]).sum())) / (1 + int(known.sum())), 4),
    }


RULES = {
    "all": "all places",
    "picked": f"{PICKED} likeliest of {LATE_SLOTS}, other words at theirs",
    "picked once": f"{PICKED} likeliest of {LATE_SLOTS}, other words there too",
}
TOOL = {"gap_p": "the gap", "peak_p": "the largest stretch", "late_p": "how late"}
DIRECTION = (
    "wire, nats",
    "toys",
    "found",
    "first at its layer",
    "cosine with the wire’s",
    "said by the report",
)
PATCHES = (
    "wire, nats", "toys", "most at its layer", "beyond other tokens", "its head",
    "beyond other tokens’ heads", "recovered / true", "middle of other tokens, nats",
)  # fmt: skip
RISE = (
    "places", "gap in probability", "recovered at the last layer, one and two before",
    "most in the last 3 of 12", "p of the gap ≤ .05", "p of so late ≤ .05",
)  # fmt: skip


def block(told: Mapping[str, Any]) -> str:
    """All tables, and what is said of them."""
    toys, late_ones = pd.DataFrame(told["toys"]), told["late"]
    rows = [_toy_rows(toys[toys.strength == strength]) for strength in (*STRENGTHS, 0.0)]
    tool = [
        (
            f"{size} word{'s' if size > 1 else ''}",
            *(sum(one["tool"][str(size)].get(p, 1.0) <= 0.05 for one in late_ones) for p in TOOL),
        )
        for size in SIZES
    ]
    lines = (
        *table(DIRECTION, [direction for direction, _ in rows]),
        *table(PATCHES, [patches for _, patches in rows]),
        *table(RISE, [_rise_row(rule, [one[rule] for one in late_ones]) for rule in RULES]),
        *table(
            (f"p ≤ .05 of the tool, {len(late_ones)} such pairs, {PICKED} places each", *TOOL.values()), tool
        ),
        f"Of {len(told['more'])} further toys without a wire {sum(p <= 0.05 for p in told['more'])} are "
        f"beyond other tokens. All but these took {told['seconds']} s of one core.",
    )
    return "\n".join(map(plain_signs, lines))


def _toy_rows(own: pd.DataFrame) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Of the toys of one strength: what is found of the direction, and what of the patches."""
    wired = float(own.strength.iloc[0]) > 0
    toys = (f"{own.strength.iloc[0]:g}" if wired else "none", len(own))
    at_layer = [(own[name] == own.layer).sum() if wired else "–" for name in ("first", "peak")]
    direction = (own["first"].notna().sum(), at_layer[0], middle(own.cosine), own.report.sum())
    head = own["head"].sum() if wired else "–"
    beyond = [(own[name] <= 0.05).sum() for name in ("peak_p", "heads_p")]
    share = middle(own.recovered / own.truth)
    return (*toys, *direction), (*toys, at_layer[1], beyond[0], head, beyond[1], share, middle(own["null"]))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """In Markdown, with an empty line behind it."""
    return [*(f"| {' | '.join(map(str, cells))} |" for cells in (head, ["---"] * len(head), *rows)), ""]


def _rise_row(rule: str, own: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    known = [one for one in own if one["recovered"] is not None]
    back = np.median([one["recovered"] for one in known], axis=0)
    return (
        RULES[rule],
        f"{np.median([one['gap'] for one in own]):+.4f}",
        ", ".join(f"{one:.2f}" for one in back),
        f"{sum(one['latest'] for one in known)} of {len(known)}",
        f"{sum(one['gap_p'] <= 0.05 for one in own)} of {len(own)}",
        f"{sum(one['late_p'] <= 0.05 for one in known)} of {len(known)}",
    )


def middle(values: pd.Series) -> str:
    """Median, and the range of the middle 80 %; a dash where nothing is known."""
    if values.isna().all():
        return "–"
    low, half, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{half:.2f} ({low:.2f} to {high:.2f})"


def everything() -> dict[str, Any]:
    """All toys."""
    start = time.process_time()
    asked = [(strength, WIRED) for strength in STRENGTHS] + [(0.0, WITHOUT)]
    toys = [measured(FIRST_SEED + at, strength) for strength, n in asked for at in range(n)]
    told = [late(FIRST_SEED + at) for at in range(LATE)]
    found = {"toys": toys, "late": told, "seconds": round(time.process_time() - start)}
    found["more"] = [without(MORE_SEED + at) for at in range(WITHOUT)]
    whole: dict[str, Any] = json.loads(json.dumps(found))  # keys as they are kept
    return whole


def main() -> None:
    """Measure, and print or write the block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="keep the numbers and write docs/hedge.md")
    parser.add_argument("--kept", action="store_true", help="the block of the numbers that are kept")
    parser.add_argument("--late", action="store_true", help="measure the late rise anew, keep the toys")
    parser.add_argument("--more", action="store_true", help="further toys without a wire, keep all else")
    given = parser.parse_args()
    torch.set_num_threads(1)
    told = json.loads(OUT.read_text()) if given.kept or given.late or given.more else everything()
    if given.more:
        told["more"] = [without(MORE_SEED + at) for at in range(WITHOUT)]
    if given.late:
        told["late"] = json.loads(json.dumps([late(FIRST_SEED + at) for at in range(LATE)]))
    print(block(told))
    if given.write:
        OUT.write_text(json.dumps(told, indent=1) + "\n")
        marks = r"(?s)(<!-- planted_hedge.py -->\n).*?(<!-- /planted_hedge.py -->)"
        PAGE.write_text(re.sub(marks, lambda at: f"{at[1]}{block(told)}\n{at[2]}", PAGE.read_text()))


if __name__ == "__main__":
    main()
