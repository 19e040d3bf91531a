"""Do units of the weights get a place where training changed one of them, and none where chance changed all?

Small transformers learn sixteen facts half rightly; then a copy is changed in a known way:

- `one unit trained`: its MLP (or attention) of one layer alone learns the right facts, all else stays;
- `one unit trained, all others moved`: besides, every other unit is moved at random by as large a share;
- `random everywhere`: every unit is moved at random by the same share of its norm (.1 to 1);
- `all units trained`: no unit is the place by design; what is said is counted, and no number is right.

    python scripts/weights_trials.py --write     # a table in docs/weights.md; minutes

The first two have to be placed at that unit for the log-odds of the right answer, in both backgrounds; of the
hundred random ones at most ten may be given a place, whatever the outcome, author and background.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from mechcot.analyses.weights.analysis import Measured, apart, effects_of, mean_of, places_of
from mechcot.analyses.weights.design import Role, roles_of
from mechcot.analyses.weights.hybrids import role_rows, value_rows
from mechcot.analyses.weights.prefixes import Prefix
from mechcot.analyses.weights.result import Place
from mechcot.core.weight_settings import WeightSettings
from mechcot.models.units import Parents, hybrid, parents_of, relative_change
from mechcot.reading.inputs import LeadIn, QuestionInput, Target, TraceInput

DOCS = Path(__file__).parent.parent / "docs"
FACTS, OPTIONS, VOCAB = 16, 4, 64
EOS, ASK, SAYS, STOP, ANSWER = 1, 2, 3, 4, 5
SUBJECT, OBJECT = 10, 30
LAYERS = 2
BASES = 10
"""Models that are changed; pairs share them in turn."""
MOVED = (0.1, 0.3, 0.5, 1.0)
"""Norms of random changes as shares of the norm of what is changed."""
TAUGHT = (40, 1e-3)
"""Steps and rate at which a copy learns the right facts."""


def truth(fact: int) -> int:
    """The right option of a fact."""
    return (7 * fact + 3) % OPTIONS


RIGHT = [truth(fact) for fact in range(FACTS)]


def text(fact: int, option: int) -> list[int]:
    """What a model learns: prompt, a step that claims the option, the answer."""
    said = OBJECT + OPTIONS * (fact % 4) + option
    return [SUBJECT + fact, ASK, SUBJECT + fact, SAYS, said, STOP, ANSWER, said, EOS]


def prefix(fact: int, option: int, author: str) -> Prefix:
    """A fact's prompt with the trace that claims an option."""
    ids = text(fact, option)
    options = tuple((OBJECT + OPTIONS * (fact % 4) + i, EOS) for i in range(OPTIONS))
    claim = Target(0, 2, (options[truth(fact)][0],), ids[4])
    trace = TraceInput(f"q{fact:02d}", author, 0, tuple(ids[2:]), ((0, 0, 4),), {}, (claim,))
    question = QuestionInput(f"q{fact:02d}", tuple(ids[:2]), (trace,), (LeadIn((ANSWER,), options),))
    return Prefix(question, truth(fact), option, 1, (), (), question)


def learn(
    model: Any, options: Sequence[int], steps: int, rate: float, only: Callable[[str], bool] = bool
) -> None:
    """Train some parameters of a model on every fact with these options."""
    rows = torch.tensor([text(fact, option) for fact, option in enumerate(options)])
    trained = [value for name, value in model.named_parameters() if only(name)]
    descent = torch.optim.Adam(trained, lr=rate)
    for _ in range(steps):
        logits = model(input_ids=rows).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCAB), rows[:, 1:].reshape(-1))
        descent.zero_grad()
        loss.backward()
        descent.step()
    model.zero_grad(set_to_none=True)


@cache
def base_of(seed: int) -> tuple[Any, list[int]]:
    """A model that has half of the facts wrong, and what it says of each; it must stay as it is."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32, eos_token_id=EOS, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    wrong = np.random.default_rng(seed).permutation(FACTS)[: FACTS // 2]
    options = [(truth(fact) + (fact in wrong)) % OPTIONS for fact in range(FACTS)]
    learn(model, options, 120, 5e-3)
    return model.eval(), options


def move(model: Any, seed: int, share: float, only: Callable[[str], bool] = bool) -> None:
    """Move parameters at random, each by a share of its norm."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if only(name):
                way: Tensor = torch.randn(value.shape, generator=noise)
                value += way * (share * value.norm() / way.norm())


def asked(model: Any, options: Sequence[int]) -> dict[str, list[list[float | None]]]:
    """The outcomes of a study by plain passes; a test holds them to the study's own."""
    found = {}
    for author, said in (("before", options), ("after", RIGHT)):
        ends, prompts = [
            _options(model, [text(fact, said[fact])[:stop] for fact in range(FACTS)]) for stop in (6, 2)
        ]
        rows = torch.tensor([text(fact, said[fact])[:4] for fact in range(FACTS)])
        true = torch.tensor([OBJECT + OPTIONS * (fact % 4) + truth(fact) for fact in range(FACTS)])
        logits = model(input_ids=rows).logits[:, -1]
        p = logits.softmax(-1).gather(1, true[:, None])[:, 0]
        first = (logits > logits.gather(1, true[:, None])).any(-1)
        found[author] = [
            [
                float(ends[fact, truth(fact)] - np.delete(ends[fact], truth(fact)).max()),
                float(np.exp(prompts[fact, said[fact]]) / np.exp(prompts[fact]).sum()),
                1 - float(p[fact]),
                float(first[fact]),
                None, None, None, None,
            ]
            for fact in range(FACTS)
        ]  # fmt: skip
    return found


def _options(model: Any, prefixes: list[list[int]]) -> Any:
    """Log-probability of each option and its end behind a prefix and the lead-in, [facts, options]."""
    named = [[OBJECT + OPTIONS * (fact % 4) + i for i in range(OPTIONS)] for fact in range(FACTS)]
    rows = torch.tensor([[*p, ANSWER, o, EOS] for p, own in zip(prefixes, named, strict=True) for o in own])
    logp = model(input_ids=rows).logits.log_softmax(-1)
    said = logp[:, -3:-1].gather(2, rows[:, -2:, None])[..., 0].sum(1)
    return said.reshape(FACTS, OPTIONS).double().numpy()


@torch.no_grad()
def places(before: Any, after: Any, options: Sequence[int], seed: int, draws: int = 8) -> list[Place]:
    """Where each outcome's change sits, by the code of a study: its hybrids, its null, its rule."""
    parents = parents_of(copy.deepcopy(before), after, ("before", "after"), seed, None)
    units = [unit.name for unit in parents.changed]
    roles = roles_of(units, WeightSettings(draws=draws), seed)
    ends = measured_of(parents, [role for role in roles if role.role == "parent"], options)
    wholes = [
        mean_of(ends.at(*key, "parent", "after") - ends.at(*key, "parent", "before")) for key in ends.asked
    ]
    if not any(apart(whole, whole.estimate or 0.0) for whole in wholes):
        return places_of(ends, ())  # nothing changed, so nothing has a place whatever units do
    own = [role for role in roles if role.role in ("parent", "in", "out")]
    measured = measured_of(parents, own, options)
    return places_of(measured, effects_of(measured, units))


def measured_of(parents: Parents, roles: Sequence[Role], options: Sequence[int]) -> Measured:
    """Ask the models of some roles."""
    found = {}
    for role in {role.hybrid: role for role in roles}.values():
        with hybrid(parents, role.recipe) as model:
            found[role.hybrid] = asked(model, options)
    right = {author: [prefix(fact, 0, author) for fact in range(FACTS)] for author in ("before", "after")}
    return Measured.of(pd.DataFrame(role_rows(roles)), pd.DataFrame(value_rows(found, right)))


def trained_unit(number: int) -> tuple[str, str]:
    """A unit, and how the names of its parameters begin."""
    layer, kind = number % LAYERS, ("MLP", "attention")[number // LAYERS % 2]
    part = {"MLP": "mlp", "attention": "self_attn"}[kind]
    return f"{kind} {layer + 1}", f"model.layers.{layer}.{part}."


def one_unit(seed: int, *, others: bool) -> tuple[list[Place], str]:
    """One unit learns the right facts; the others stay, or are moved by as large a share."""
    before, options = base_of(seed % BASES)
    after = copy.deepcopy(before)
    unit, start = trained_unit(seed)
    learn(after, RIGHT, *TAUGHT, lambda name: name.startswith(start))
    if others:
        own = [name for name, _ in before.named_parameters() if name.startswith(start)]
        share = relative_change(parents_of(before, after, ("before", "after"), seed, None), own)
        move(after, seed, share, lambda name: not name.startswith(start))
    return places(before, after, options, seed), unit


def random_everywhere(seed: int) -> tuple[list[Place], str]:
    """Every unit is moved by the same share, another one from pair to pair."""
    before, options = base_of(seed % BASES)
    after = copy.deepcopy(before)
    move(after, seed, MOVED[seed % len(MOVED)])
    return places(before, after, options, seed), ""


def all_trained(seed: int) -> tuple[list[Place], str]:
    """Every unit learns."""
    before, options = base_of(seed % BASES)
    after = copy.deepcopy(before)
    learn(after, RIGHT, *TAUGHT)
    return places(before, after, options, seed), ""


WORLDS: dict[str, tuple[Callable[[int], tuple[list[Place], str]], int]] = {
    "one unit trained": (lambda seed: one_unit(seed, others=False), 20),
    "one unit trained, all others moved": (lambda seed: one_unit(seed, others=True), 20),
    "random everywhere": (random_everywhere, 100),
    "all units trained": (all_trained, 10),
}


def counted(found: Sequence[tuple[list[Place], str]]) -> dict[str, Any]:
    """How often the answer is placed where it was changed, elsewhere, and anything anywhere."""
    both: Counter[str] = Counter()
    for one, unit in found:
        own = {(place.author, place.background): place.unit for place in one if place.outcome == "answer"}
        for author in ("before", "after"):
            said = {own[author, background] for background in ("before", "after")}
            if unit and said == {unit}:
                both["there"] += 1
            elif any(name not in ("", unit) for name in said):
                both["elsewhere"] += 1
    return {
        "pairs": len(found),
        "answer, both backgrounds, at that unit": both["there"] if found[0][1] else None,
        "answer, at another unit": both["elsewhere"] if found[0][1] else None,
        "of so many": 2 * len(found) if found[0][1] else None,
        "pairs given any place": sum(any(place.unit for place in one) for one, _ in found),
        "places given": sum(bool(place.unit) for one, _ in found for place in one),
        "places asked": sum(len(one) for one, _ in found),
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """The counts as a table."""
    lines = [
        "| world | pairs | answer placed at that unit, both backgrounds | at another unit | pairs given "
        "any place | "
        "places given |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        of = row["of so many"]
        there, other = (
            "-" if row[key] is None else f"{row[key]} of {of}"
            for key in ("answer, both backgrounds, at that unit", "answer, at another unit")
        )
        lines.append(
            f"| {name} | {row['pairs']} | {there} | {other} | {row['pairs given any place']} of "
            f"{row['pairs']} | "
            f"{row['places given']} of {row['places asked']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the trials and print or write their table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=1000, help="seed of the first pair of each world")
    parser.add_argument("--pairs", type=int, help="pairs of each world; by default 20, and 100 random ones")
    parser.add_argument("--write", action="store_true", help="put numbers and table into docs/")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for name, (world, n) in WORLDS.items():
        found[name] = counted([world(given.first + i) for i in range(given.pairs or n)])
        print(f"{name}: {found[name]}", flush=True)
    print(table(found))
    if given.write:
        told = {"first seed": given.first, "worlds": found}
        (DOCS / "weights-trials.json").write_text(json.dumps(told, indent=1) + "\n")
        page = DOCS / "weights.md"
        marked = re.sub(
            r"(?s)(<!-- weights_trials.py -->\n).*?(<!-- /weights_trials.py -->)",
            lambda found_: f"{found_[1]}{table(found)}\n{found_[2]}",
            page.read_text(),
        )
        page.write_text(marked)


if __name__ == "__main__":
    main()
