r"""The constants of the cost model, and how far it is off.

    env OMP_NUM_THREADS=1 python scripts/cost_model.py measure
    env OMP_NUM_THREADS=1 python scripts/cost_model.py fit SMALL-STUDY STUDY
    env OMP_NUM_THREADS=1 python scripts/cost_model.py report ANOTHER-STUDY

`measure` times this machine: a product, a copy, a layer that is given nearly nothing, in processor seconds.
`fit` finds, on finished studies of the organism, the share of these that each kind of work reaches, and what
stages without a model take for each thing. Both write `src/mechcot/pipeline/estimate/machines.json`. `report`
foretells a study by its settings alone, holds that against the seconds of its manifest, and writes
docs/cost-model.json and the table of docs/scale.md; beside it the stages of docs/real-small.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mechcot.core.manifest import load_manifest
from mechcot.core.training_settings import LoraSettings, TrainSettings
from mechcot.pipeline.estimate import load
from mechcot.pipeline.estimate.machines import TABLE, machine_here, measured, processor, table
from mechcot.pipeline.estimate.on_processors import amount, family
from mechcot.pipeline.estimate.rows import rows_of
from mechcot.pipeline.estimate.sizes import Sizes
from mechcot.pipeline.estimate.weights import weights_of
from mechcot.pipeline.pace import Pace
from mechcot.study import Study

ROOT = Path(__file__).parent.parent
PAGE, OUT = ROOT / "docs" / "scale.md", ROOT / "docs" / "cost-model.json"
BEGIN, END = "<!-- cost model -->", "<!-- /cost model -->"
UNITS = {
    "questions": "questions",
    "prompts": "questions",
    "facts": "facts",
    "teacher": "examples",
}
"""What the stages without a model are done to; all others to steps."""
KINDS = {
    "pretrain": "training",
    "distill": "training",
    "sample": "sampling",
    "read": "reading",
    "facts": "reading",
}


def main() -> None:
    """Measure, fit or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("measure", "fit", "report"))
    parser.add_argument("studies", type=Path, nargs="*")
    given = parser.parse_args()
    if given.what == "measure":
        keep(measure())
    elif given.what == "fit":
        keep(fit([Study.open(path) for path in given.studies]))
    else:
        told = report(Study.open(given.studies[0]))
        OUT.write_text(json.dumps(told, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + page(told) + END + rest.partition(END)[2])


def keep(found: dict[str, Any]) -> None:
    """Write what was found into the table."""
    TABLE.write_text(json.dumps(table() | found, indent=1) + "\n")


# --- constants -------------------------------------------------------------------------------------


def measure() -> dict[str, Any]:
    """The row of this processor, and what a process with its libraries holds."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from mechcot.pipeline.estimate.machines import least

    torch.set_num_threads(1)
    config = Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=16, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).eval()
    ids = torch.zeros((1, 1), dtype=torch.long)
    with torch.inference_mode():
        call = least(lambda: model(ids), within=5.0) / config.num_hidden_layers
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = [row for row in table()["machines"] if row["name"] != processor()]
    like = next((row for row in table()["machines"] if row["kind"] == "processor"), None)
    own = {
        "name": processor(), "kind": "processor", "status": "measured",
        "source": "one core, by scripts/cost_model.py", **measured(), "call": call, "memory": 0,
        "reached": like["reached"] if like else dict.fromkeys(("sampling", "reading", "training"), 1.0),
    }  # fmt: skip
    return {"machines": [own, *rows], "process": held}


def bare(study: Study, recorded: dict[str, Any] | None = None) -> Sizes:
    """What there is to do, as if nothing had run at any pace."""
    machine = machine_here().cores(study.settings.threads or os.cpu_count() or 1)
    return Sizes(study, machine, Pace(study.path, recorded or {}))


def seconds_of(study: Study) -> dict[str, float]:
    """What each stage took."""
    return {name: float(row["seconds"]) for name, row in load_manifest(study.path)["stages"].items()}


def fit(studies: list[Study]) -> dict[str, Any]:
    """Shares that are reached and sizes by the last study, seconds a thing by all of them."""
    whole = studies[-1]
    sizes, took, found = bare(whole), seconds_of(whole), rows_of(bare(whole))
    asked = json.loads(json.dumps(table()["sizes"]))
    for arm in ("base", "distilled", "terse"):
        name = "base" if arm == "base" else whole.settings.arms[arm].distill.examples  # type: ignore[union-attr]
        asked["trace"][name], asked["steps"][name] = sizes.trace(arm), sizes.steps(arm)
    asked["tokens of a fact"] = _fact_tokens(whole)
    reached = {}
    for kind in ("sampling", "reading", "training"):
        slow = calls = real = 0.0
        for name, row in found.items():
            if KINDS.get(name.split("-")[0]) != kind or name == "facts" or name not in took:
                continue
            of = row().load
            assert of is not None
            parts = of(4).parts(sizes.machine)
            calls += parts.pop(load.CALLS)
            slow += sum(parts.values()) * sizes.machine.reached[kind]
            real += took[name]
        reached[kind] = round(slow / max(real - calls, 0.1 * real), 4)
    rows = [
        row | {"reached": reached} if row["name"] == sizes.machine.name else row
        for row in table()["machines"]
    ]
    return {
        "machines": rows,
        "sizes": asked,
        "stages": _plain(studies),
        "fitted on": list(map(_name, studies)),
    }


def _name(study: Study) -> str:
    organism = study.settings.organism
    small = organism is not None and organism.diseases < 100
    return f"the {'small ' if small else ''}organism, seed {study.settings.seed}"


def _fact_tokens(study: Study) -> float:
    from mechcot.pipeline.facts import plan_asking

    found = plan_asking(study, study.settings.contrast.before)
    assert found.tokens_in is not None
    assert found.n is not None
    return found.tokens_in / found.n


def _plain(studies: list[Study]) -> dict[str, Any]:
    """Fixed seconds and seconds for each thing, none of them negative, by least squares over the studies."""
    points: dict[str, list[tuple[float, float]]] = {}
    for study in studies:
        sizes = bare(study)
        for name, seconds in seconds_of(study).items():
            if name.split("-")[0] in ("pretrain", "distill", "sample", "read", "probe") or name.startswith(
                "facts-"
            ):
                continue
            unit = UNITS.get(family(name), "steps")
            points.setdefault(family(name), []).append((amount(sizes, name, unit), seconds))
    found = {}
    for name, own in points.items():
        n, seconds = np.array(own).T
        alone = float(seconds @ n / max(n @ n, 1)), 0.0  # through the origin
        each, fixed = np.polyfit(n, seconds, 1) if len(set(n)) > 1 else alone
        if fixed < 0 or each < 0:
            each, fixed = alone if fixed < 0 else (0.0, float(seconds.mean()))
        found[name] = {
            "unit": UNITS.get(name, "steps"),
            "fixed": round(float(fixed), 3),
            "each": float(f"{each:.3g}"),
        }
    return found


# --- how far it is off -----------------------------------------------------------------------------


def report(study: Study) -> dict[str, Any]:
    """Foretold by the settings alone, and taken."""
    with tempfile.TemporaryDirectory() as folder:
        found = rows_of(bare(Study(Path(folder), study.settings)))
        took = seconds_of(study)
        rows = [
            {"stage": name, "predicted": round(row.seconds, 2), "took": took[name], "waits for": row.bound}
            for name in took
            if name in found and (row := found[name]()).seconds is not None
        ]
    missing = sorted(set(took) - {row["stage"] for row in rows})
    return {
        "machine": processor(), "load": round(os.getloadavg()[0], 1), "study": _name(study), "rows": rows,
        "not foretold": missing, "fitted on": table()["fitted on"], "real": real_small(),
    }  # fmt: skip


def real_small() -> list[dict[str, Any]]:
    """The model stages of the small real study: 270 million weights, two threads, another processor."""
    told = json.loads((ROOT / "docs" / "real-small.json").read_text())
    weights = weights_of(None, f"google/{told['model']}")
    assert weights is not None
    here = machine_here().cores(2)
    rows, n = [], told["questions"] * told["samples"]
    for name, own in told["stages"].items():
        tokens = own["tokens"]
        if tokens is None:
            continue
        kind = KINDS[name.split("-")[0]]
        if kind == "sampling":
            of = load.sampling(weights, 4, rows=n, together=256, prompts=told["questions"], prompt=280,
                               trace=tokens / n, longest=200)  # fmt: skip
        elif kind == "reading":
            of = load.reading(weights, 4, tokens=tokens, context=280, together=1024)
        else:
            lora = TrainSettings(batch_size=1, lora=LoraSettings())
            of = load.training(weights, lora, tokens=tokens, rows=tokens / 700, context=700)
        rows.append({"stage": name, "predicted": round(of.seconds(here), 1), "took": own["seconds"],
                     "waits for": of.bound(here)})  # fmt: skip
    return rows


def page(told: dict[str, Any]) -> str:
    """The tables as the page has them."""
    fitted = " and ".join(told["fitted on"])
    real = "The small real study (270 million weights, two threads), which ran on another processor:"
    return "\n".join(
        [
            "",
            f"{told['study'][0].upper() + told['study'][1:]}, by constants fitted on {fitted}, both on "
            f"{told['machine']}, one core of two that other programs used too:",
            "",
            *_rows(told["rows"], least=2.0),
            "",
            real,
            "",
            *_rows(told["real"], least=0.0),
            "",
        ]
    )


def _rows(rows: list[dict[str, Any]], least: float) -> list[str]:
    lines = ["| stage | predicted, s | took, s | ratio | waits for |", "|---|---|---|---|---|"]
    shown = [row for row in rows if max(row["took"], row["predicted"]) >= least]
    rest = [row for row in rows if row not in shown]
    told = [(row["stage"], row["predicted"], row["took"], row["waits for"]) for row in shown]
    for name, of in (("others", rest), ("all", rows)):
        if of:
            told.append((name, sum(r["predicted"] for r in of), sum(r["took"] for r in of), ""))
    for stage, predicted, took, bound in told:
        lines.append(f"| {stage} | {predicted:.1f} | {took:.1f} | {predicted / took:.2f} | {bound} |")
    return lines


if __name__ == "__main__":
    main()
