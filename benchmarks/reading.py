"""The reading: forced answers and activations against the other ways to get them.

    python benchmarks/reading.py [--out FILE.json] [--rounds 5] [--minutes 10] [--only JOB ...] [--plot FILE]

Six jobs, the most important first, on Qwen3 models with random weights, in float32 on the processor:

- forced: forced answers and all layers at the steps' ends, against a bare forward pass over the traces, one
  run per prefix, those runs padded into batches, and one cached pass branched at every step;
- vocabulary: the shape of Gemma 3 270M (262,144 tokens), traces of 100 tokens, with entropy and surprisal,
  over a bare pass and the head on the same tokens;
- branches: options of several tokens, three lead-ins, the organism: the price over the bare decoder beside
  what tokens predict (distinct prefixes / tokens of the traces), and beside the tokens computed (distinct
  prefixes / tokens of the bare pass, which reads the prompt once for every trace);
- activations: all layers at the steps' ends alone, against the bare decoder, nnsight and TransformerLens;
- length: the same as traces grow;
- store: memory as traces grow, the share of writing, a layer read back against a copy of a memory map.

Everything is measured in processor seconds on one thread, so that other work on the machine disturbs little.
The jobs share `--minutes` of them out: a race runs as many rounds as fit, by what its first one took, and
what there is no time for is left out and named.

All sides of a job run in one process and take turns; the least of a side's rounds counts. A side that has
settings runs each once and goes on with the fastest; one that takes more than four times as long as ours runs
once. The sides must agree. Memory is the highest resident size above that of the loaded model, each side in a
fresh process (Linux).
"""

from __future__ import annotations

import argparse
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mechcot.core.files import write_json
from mechcot.reading.batch import ReadBatch, rows_of, unpack, unpack_prompts
from mechcot.reading.reader import plan_for, read
from mechcot.reading.spec import ReadingSpec
from mechcot.study.activations import tensor_name
from reading_measure import Options, Result, Sides, apart, machine, peak, race, spent
from reading_peers import (
    Answers,
    bare,
    kv_branch,
    nnsight_cache,
    padded,
    prefixes,
    separate,
    transformer_lens_cache,
)
from reading_store import store_costs
from reading_texts import OPTIONS, ORGANISM, Text, Work, make_work

BOUNDS = {
    "over_bare": "<= 1.10",
    "over_bare_with_signals": "<= 1.15",
    "over_bare_and_head": "<= 1.15",
    "vs_separate": ">= 8",
    "vs_padded": ">= 5",
    "vs_kv_branch": ">= 1.25",
    "organism: over_computed": "<= 1.20",
    "over_predicted": "<= 1.10",
    "growth of measured": "<= 1.10",
    "growth of over_computed": "<= 1.05",
    "activations_over_bare": "<= 1.05",
    "vs_nnsight": "> 1",
    "vs_transformer_lens": "> 1",
    "peak_growth": "<= 1.10",
    "writing_share": "< 0.05",
    "layer_over_memmap": "<= 1.25",
}
"""What a ratio must reach, by its name or by what stands after the colon."""

STEPS = 14
EVERY = 6
"""The slowest sides run every sixth prefix; their seconds count for all of them, by the prefixes' tokens."""

OTHERS: dict[str, Callable[[Work, int], Callable[[], Any]]] = {
    "bare": bare,
    "nnsight": nnsight_cache,
    "TransformerLens": transformer_lens_cache,
}
"""What gives activations alone, and the bare decoder."""


def main() -> None:
    """Run the jobs and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of a race, at most")
    parser.add_argument("--minutes", type=float, default=10.0, help="of processor time, for all jobs")
    parser.add_argument("--only", choices=JOBS, nargs="+", default=list(JOBS))
    parser.add_argument("--plot", type=Path, help="where the figure of the job `length` goes")
    parser.add_argument("--small", action="store_true", help="a small model, to try the benchmark itself")
    parser.add_argument("--out", type=Path, help="where the numbers go, for scripts/reading_page.py")
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = Options(given.rounds, given.small, 60 * given.minutes)
    found = {}
    for number, name in enumerate(given.only):
        print(f"\n{name}", flush=True)
        asked = given.only[number:]
        part = options.part(name, WEIGHTS[name] / sum(WEIGHTS[job] for job in asked))
        if part is not None:
            found[name] = JOBS[name](part)
            _show(found[name])
    left_out = ", ".join(options.left_out) or "nothing"
    print(f"\n{spent() / 60:.1f} minutes of processor time; left out: {left_out}")
    if given.plot and "length" in found:
        _plot(found["length"], given.plot)
    if given.out:
        write_json(given.out, _told(found, options))


def _told(found: dict[str, Result], options: Options) -> dict[str, Any]:
    """All numbers of the jobs, with the bounds of ratios and what they were measured on."""
    told: dict[str, Any] = {"jobs": list(found), "small": options.small, "rounds": options.rounds}
    told |= {"left_out": options.left_out, "minutes": round(spent() / 60, 1), "machine": machine()}
    for part in ("sizes", "seconds", "ratios", "megabytes"):
        told[part] = {job: getattr(result, part) for job, result in found.items() if getattr(result, part)}
    names = {name for result in found.values() for name in result.ratios}
    told["bounds"] = {name: bound for name in sorted(names) if (bound := _bound(name)) is not None}
    return told


def _bound(name: str) -> str | None:
    return BOUNDS.get(name, BOUNDS.get(name.split(": ")[-1]))


def _show(result: Result) -> None:
    for name, value in result.sizes.items():
        print(f"  {name:46s} {value:>14,}")
    for name, value in result.seconds.items():
        print(f"  {name:46s} {value:14.3f} s")
    for name, value in result.megabytes.items():
        print(f"  {name:46s} {value:14.1f} MB above the model")
    for name, value in result.ratios.items():
        verdict = _verdict(value, _bound(name))
        print(f"  {name:46s} {value:14.3f}{verdict}", flush=True)


def _verdict(value: float, bound: str | None) -> str:
    if bound is None:
        return ""
    sign, limit = bound.split()
    signs = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    return f"   {'met' if signs[sign](value, float(limit)) else 'MISSED'} ({bound})"


def _ours(
    work: Work, *, signals: bool = False, max_tokens: int | None = None
) -> Callable[[], list[ReadBatch]]:
    return lambda: list(
        read(work.model, work.questions, ReadingSpec(rules=("end",), signals=signals, max_tokens=max_tokens))
    )


def _answers(work: Work, batches: list[ReadBatch]) -> Answers:
    """The reading of one question in the order of `prefixes`."""
    plan = plan_for(work.model, work.questions, ReadingSpec(rules=("end",)))
    forced: dict[int, Any] = {}
    rows: dict[tuple[int, int], torch.Tensor] = {}
    names = [tensor_name(layer, "end") for layer in range(work.model.config.num_hidden_layers + 1)]
    for batch in batches:
        for _, values, _ in unpack_prompts(plan, batch):
            forced[-1] = values[0]
        for reading in unpack(plan, batch):
            forced[reading.trace] = reading.forced[0]
        acts = torch.stack([batch.acts[name] for name in names])
        for row, (trace, sid) in enumerate(rows_of(plan, batch.parts, "end")):
            rows[trace.cid, sid] = acts[:, row]
    table = np.concatenate([forced[trace].reshape(-1, OPTIONS) for trace in sorted(forced)])
    return Answers(torch.from_numpy(table), torch.stack([rows[step] for step in sorted(rows)], dim=1))


def _forced(options: Options) -> Result:
    """Forced answers and activations, against all other ways."""
    work = make_work(options.shape, Text())
    bare_rows = (1, len(work.sequences()))
    sides: Sides = {
        "mechcot": {"": _ours(work)},
        "mechcot with signals": {"": _ours(work, signals=True)},
        "bare": {f"{n} rows": bare(work, n) for n in bare_rows},
        "bare with logits": {f"{n} rows": bare(work, n, logits=True) for n in bare_rows},
        "separate": {"": lambda: separate(work, EVERY)},
        "padded": {"4 rows": lambda: padded(work, 4, EVERY)},
        "kv_branch": {
            f"{n} rows, prompt {'shared' if share else 'repeated'}": lambda n=n, share=share: kv_branch(  # type: ignore[misc]
                work, n, share_prompt=share
            )
            for n in (14,)
            for share in (True, False)
        },
    }

    def agree(outputs: dict[str, Any]) -> None:
        ours = _answers(work, outputs["mechcot"])
        _same("mechcot with signals", _answers(work, outputs["mechcot with signals"]), ours)
        some = Answers(ours.forced[::EVERY], ours.acts[:, EVERY - 1 :: EVERY])
        for name in ("separate", "padded"):
            _same(name, outputs[name], some)
        _same("kv_branch", outputs["kv_branch"], ours)

    lengths = [prefix.length for prefix in prefixes(work.questions[0])]
    whole = sum(lengths) / sum(lengths[::EVERY])
    seconds = race(sides, options.rounds, agree, options, {"separate": whole, "padded": whole})
    ours = seconds["mechcot"]
    return Result(
        seconds,
        {
            "over_bare": ours / seconds["bare"],
            "over_bare_with_signals": seconds["mechcot with signals"] / seconds["bare with logits"],
            **{f"vs_{name}": seconds[name] / ours for name in ("separate", "padded", "kv_branch")},
        },
        sizes=_sizes(work),
    )


def _sizes(work: Work) -> dict[str, int]:
    return {
        "parameters": sum(p.numel() for p in work.model.parameters()),
        "tokens of the traces": work.trace_tokens(),
        "tokens of the bare pass": work.bare_tokens(),
        "distinct prefixes": work.tree_tokens(),
    }


def _same(name: str, found: Answers, ours: Answers) -> None:
    nats = float((found.forced - ours.forced).abs().max())
    print(f"  {name}: forced answers differ by at most {nats:.1e} nats", flush=True)
    if not nats <= 1e-4:
        raise SystemExit(f"{name}: its forced answers differ by {nats} nats")
    _same_acts(name, found.acts, ours.acts)


def _same_acts(name: str, found: torch.Tensor, ours: torch.Tensor) -> None:
    share = float(((found - ours).abs().amax((1, 2)) / ours.abs().amax((1, 2))).max())
    print(f"  {name}: activations differ by at most {share:.1e} of a layer's largest", flush=True)
    if not share <= 1e-4:
        raise SystemExit(f"{name}: its activations differ by {share} of a layer's largest")


def _branches(options: Options) -> Result:
    """The price over bare beside the ratio of tokens."""
    organism = Text(prompt=24, steps=6, step=10, jitter=2, lead=2, option=2, questions=32)
    variants = {
        "organism": (ORGANISM, organism),
        "options of 3 tokens": (options.shape, Text(option=3)),
        "three lead-ins, options of 3 tokens": (options.shape, Text(leads=3, option=3)),
    }
    result = Result()
    for number, (name, (shape, text)) in enumerate(variants.items()):
        part = options.part(name, 1 / (len(variants) - number))
        if part is not None:
            _price(name, make_work(shape, text), result, part)
    return result


def _price(name: str, work: Work, result: Result, options: Options) -> None:
    """Add what a reading costs over a bare pass."""
    rows = {1, 4, *(n for n in (16, 64) if n <= len(work.sequences()))}
    # Of one question, shorter passes would only run its prompt again.
    passes = (1024, 2048, 4096) if len(work.questions) > 1 else (4096,)
    sides: Sides = {
        "mechcot": {f"passes of {n} tokens": _ours(work, max_tokens=n) for n in passes},
        "bare": {f"{n} rows": bare(work, n) for n in sorted(rows)},
    }
    seconds = race(sides, options.rounds, lambda outputs: None, options)
    predicted, computed = (
        work.tree_tokens() / tokens for tokens in (work.trace_tokens(), work.bare_tokens())
    )
    measured = seconds["mechcot"] / seconds["bare"]
    result.seconds |= {f"{name}, {side}": value for side, value in seconds.items()}
    result.ratios |= {
        f"{name}: predicted": predicted,
        f"{name}: measured": measured,
        f"{name}: over_predicted": measured / predicted,
        f"{name}: over_computed": measured / computed,
    }


def _length(options: Options) -> Result:
    """The price over bare as traces grow, 14 steps each."""
    result, lengths = Result(), (140, 1120)
    for tokens, share in zip(lengths, (0.15, 1), strict=True):
        part = options.part(f"{tokens} tokens", share)
        if part is not None:
            work = make_work(options.shape, Text(steps=STEPS, step=tokens // STEPS, tail=tokens % STEPS))
            _price(f"{tokens} tokens", work, result, part)
    if not all(f"{tokens} tokens: measured" in result.ratios for tokens in lengths):
        return result
    for what in ("measured", "over_computed"):
        short, long = (result.ratios[f"{tokens} tokens: {what}"] for tokens in (lengths[0], lengths[-1]))
        result.ratios[f"{lengths[0]} to {lengths[-1]} tokens: growth of {what}"] = long / short
    return result


def _plot(result: Result, path: Path) -> None:
    """Draw the price over the length."""
    import plotly.graph_objects as go

    from mechcot.report.figures import AFTER, NULL, blank

    prices, predicted = (
        {int(name.split()[0]): v for name, v in result.ratios.items() if name.endswith(f" tokens: {what}")}
        for what in ("measured", "over_computed")
    )
    predicted = {tokens: prices[tokens] / over for tokens, over in predicted.items()}
    lengths = sorted(prices)
    short, long = lengths[0], lengths[-1]
    figure = blank(
        f"A reading costs {prices[short]:.2f} times a bare forward pass at {short} tokens a trace, "
        f"{prices[long]:.2f} times at {long:,}",
        "Forced answers after every step and activations of all layers; four traces after a prompt of 180 "
        "tokens, 14 steps a trace, one lead-in of 8 tokens. Grey: distinct prefixes over "
        "tokens of the bare pass, which reads the prompt once for every trace.",
    )
    for name, values, colour in (("tokens", predicted, NULL), ("seconds", prices, AFTER)):
        y = [values[tokens] for tokens in lengths]
        figure.add_trace(go.Scatter(x=lengths, y=y, name=name, line={"color": colour}))
    figure.update_xaxes(title_text="tokens a trace", type="log", tickvals=lengths)
    figure.update_yaxes(title_text="times a bare forward pass", rangemode="tozero")
    figure.write_html(path, include_plotlyjs=True)


def _activations(options: Options) -> Result:
    """Activations alone, against the bare decoder and the other libraries."""
    work = make_work(options.shape, Text(leads=0))

    def agree(outputs: dict[str, Any]) -> None:
        ours = _answers(work, outputs["mechcot"]).acts
        for name in ("nnsight", "TransformerLens"):
            _same_acts(name, outputs[name], ours)

    rows = (1, len(work.sequences()))
    sides: Sides = {
        "mechcot": {"": _ours(work)},
        **{name: {f"{n} rows": make(work, n) for n in rows} for name, make in OTHERS.items()},
    }
    seconds = race(sides, options.rounds, agree, options.part("race", 0.6) or options)
    ours = seconds["mechcot"]
    ratios = {
        "activations_over_bare": ours / seconds["bare"],
        "vs_nnsight": seconds["nnsight"] / ours,
        "vs_transformer_lens": seconds["TransformerLens"] / ours,
    }
    memory = {"mechcot": apart(_activations_peak, options, "mechcot", 0)}
    for name in OTHERS:  # all traces in one pass, as ours
        memory[f"{name}, {rows[-1]} rows"] = apart(_activations_peak, options, name, rows[-1])
    return Result(seconds, ratios, memory, _sizes(work))


def _vocabulary(options: Options) -> Result:
    """Entropy and surprisal where the vocabulary is most of the model, and forced answers beside them."""
    result = Result()
    texts = {
        "signals": Text(prompt=100, steps=4, step=25, leads=0),
        "signals and forced answers": Text(prompt=100, steps=4, step=25),
    }
    for number, (name, text) in enumerate(texts.items()):
        part = options.part(name, 1 / (len(texts) - number))
        if part is None:
            continue
        work = make_work(options.large_vocabulary, text)
        rows = (1, len(work.sequences()))
        sides: Sides = {
            "mechcot": {"": _ours(work, signals=True)},
            "bare": {f"{n} rows": bare(work, n) for n in rows},
            "head": {"": _head(work)},
        }
        seconds = race(sides, options.rounds, lambda outputs: None, part)
        computed = work.tree_tokens() / work.bare_tokens()
        result.seconds |= {f"{name}, {side}": value for side, value in seconds.items()}
        result.ratios |= {
            f"{name}: over_bare_and_head": seconds["mechcot"] / (seconds["bare"] + seconds["head"]),
            f"{name}: tokens computed over the bare pass's": computed,
        }
        result.sizes |= {f"{name}, {key}": value for key, value in _sizes(work).items()}
    return result


def _head(work: Work) -> Callable[[], torch.Tensor]:
    """The head alone over as many rows as the traces have tokens, 128 at a time, nothing kept."""
    weight = work.model.lm_head.weight
    states = torch.randn(work.trace_tokens(), weight.shape[1])

    @torch.inference_mode()
    def run() -> torch.Tensor:
        found = [torch.nn.functional.linear(part, weight).amax(-1) for part in states.split(128)]
        return torch.cat(found)

    return run


def _activations_peak(options: Options, side: str, rows: int) -> float:
    torch.set_num_threads(1)
    work = make_work(options.shape, Text(leads=0))
    return peak(_ours(work) if side == "mechcot" else OTHERS[side](work, rows))


JOBS: dict[str, Callable[[Options], Result]] = {
    "forced": _forced,
    "vocabulary": _vocabulary,
    "branches": _branches,
    "activations": _activations,
    "length": _length,
    "store": store_costs,
}
WEIGHTS = {"forced": 20, "vocabulary": 5, "branches": 8, "activations": 10, "length": 7, "store": 8}
"""Shares of the time, about as what each job takes once."""


if __name__ == "__main__":
    main()
