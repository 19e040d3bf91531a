"""A small real study to its end: Gemma 3 270M, taught real chains of thought, judged by a real server here.

    python ../shared/real/make_gemma.py /tmp/gemma-3-270m fp32          # the model, two minutes
    python scripts/real_small.py /tmp/gemma-3-270m --real ../shared/real --out studies/real-small
    python scripts/real_small.py --page                                # writes the page anew from its table

The student learns the chains of `traces_gpt4o.jsonl` that answered right; chains whose questions share words
with the test are left out. Base and student answer `questions_medmcqa.jsonl`; the judge is the same base
behind `mechcot serve-local`, so its verdicts say nothing of medicine: what is tried is the road. Killed, the
same command goes on. Beside each stage's tokens a second stand those of plain transformers on a part of the
same work, in the same process, afterwards.

Where the model is not there, nothing is run and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import mechcot
from mechcot import Study
from mechcot.analyses.headline import headline_text
from mechcot.core import files, records

ROOT = Path(__file__).parent.parent
TABLE, PAGE = ROOT / "docs" / "real-small.json", ROOT / "docs" / "real-small.md"
START, END = "<!-- real-small -->", "<!-- /real-small -->"
PROMPT = "{stem}\n\n{options}\n\nThink step by step, then end with: The answer is (X).\n\n"
LORA = {"rank": 16, "alpha": 32, "dropout": 0.05}


def main() -> None:
    """Run, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="the checkpoint's folder")
    parser.add_argument("--real", type=Path, default=ROOT.parent / "shared" / "real")
    parser.add_argument("--out", type=Path, default=Path("studies/real-small"))
    parser.add_argument("--questions", type=int, default=52, help="rows; those with a fault are skipped")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="only write the page from the table")
    given = parser.parse_args()
    if given.page:
        files.write_text(PAGE, written(files.read_text(PAGE), json.loads(files.read_text(TABLE))))
        return
    missing = [path for path in (given.model, given.real) if path is None or not path.is_dir()]
    if missing:
        print(
            f"SKIPPED: {missing[0]} is not there; shared/real/make_gemma.py makes the model", file=sys.stderr
        )
        return
    print(json.dumps(run(given), indent=1))


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The study to its end, its times, and what it found."""
    given.out.parent.mkdir(parents=True, exist_ok=True)
    inputs = given.out.with_name(f"{given.out.name}-inputs")
    with served(given.model, _port(inputs), given.threads) as server:
        write_inputs(given, inputs, server)
        study = mechcot.run(given.out, config=inputs / "study.yaml")
    told = {
        "model": given.model.name,
        "questions": len(study.questions()),
        "samples": given.samples,
        "headline": headline_text(study.summary()),
        "stages": stages(study),
        "plain": plain(study, given),
        "counts": counts(study),
    }
    if given.questions >= 50:
        files.write_json(TABLE, told)
        files.write_text(PAGE, written(files.read_text(PAGE), told))
    return told


def _port(inputs: Path) -> str:
    """That of an earlier call, for its address is part of what the verdicts came from; 0: any free one."""
    if not (inputs / "judge.yaml").exists():
        return "0"
    before = yaml.safe_load((inputs / "judge.yaml").read_text())["base_url"]
    return str(urllib.parse.urlsplit(before).port)


@contextmanager
def served(model: Path, port: str, threads: int) -> Iterator[str]:
    """The judge behind its server, a process of its own."""
    command = [sys.executable, "-m", "mechcot", "serve-local", str(model), "--port", port]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().partition(": ")[2].strip()
            if not address:
                raise SystemExit("the judge's server did not start; what it wrote stands above")
            yield address
        finally:
            server.terminate()


def write_inputs(given: argparse.Namespace, folder: Path, server: str) -> None:
    """Questions, chains, the judge's file and the study's settings."""
    folder.mkdir(exist_ok=True)
    chains = pd.read_json(given.real / "traces_gpt4o.jsonl", lines=True)
    train = chains.drop_duplicates("qid")[["qid", "question", "options", "gold"]]
    train.to_json(folder / "train.jsonl", orient="records", lines=True)
    right = chains[chains.predicted == chains.gold]
    written = right.assign(cid=right.groupby("qid").cumcount())[["qid", "cid", "text"]]
    written.to_json(folder / "chains.jsonl", orient="records", lines=True)
    judge = {"base_url": server, "model": given.model.name, "api_key_env": None, "max_tokens": 60,
             "temperature": 0.0, "concurrency": 8, "timeout": 600}  # fmt: skip
    (folder / "judge.yaml").write_text(yaml.safe_dump(judge))
    columns = {"qid": "qid", "stem": "question", "options": "options"}
    train_settings = {"epochs": given.epochs, "batch_size": 2, "accumulation": 4, "learning_rate": 2e-4,
                      "max_length": 2048, "lora": LORA, "save_every": 5}  # fmt: skip
    settings = {
        "questions": {
            "path": str(given.real / "questions_medmcqa.jsonl"),
            "columns": columns | {"gold": "answer_idx"},
            "limit": given.questions,
            "on_bad_row": "skip",
        },
        "teacher": {
            "traces": str(folder / "chains.jsonl"),
            "questions": {
                "path": str(folder / "train.jsonl"),
                "columns": columns | {"gold": "gold"},
                "on_bad_row": "skip",
            },
            "chains": 2,
        },
        "examples": {"right": {}},
        "arms": {
            "base": {"model": str(given.model), "dtype": "float32"},
            "distilled": {"distill": {"base": "base", "examples": "right", "train": train_settings}},
        },
        "contrast": {"before": "base", "after": "distilled"},
        "prompt": {"question": PROMPT, "chat": False},
        "sampling": {"samples": given.samples, "temperature": 0.7, "top_p": 0.95, "max_new_tokens": 200,
                     "batch_rows": 32},
        "judge": {"kind": "llm", "path": str(folder / "judge.yaml"), "traces_per_question": 1},
        "reading": {"traces_per_question": 1},
        "threads": given.threads,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def stages(study: Study) -> dict[str, Any]:
    """Seconds of each stage, and the tokens that it read or wrote where that is what it does."""
    manifest = files.read_json(study.path / "manifest.json")
    tokens = {f"sample-{arm}": int(_lengths(study, arm).sum()) for arm in ("base", "distilled")}
    card = files.read_json(study.path / "models" / "distilled" / "distillation.json")
    tokens["distill-distilled"] = card["result"]["tokens"]
    for author in ("base", "distilled"):
        read = int(_lengths(study, author)[study.traces(author).cid == 0].sum())
        tokens |= {f"read-{author}-by-{reader}": read for reader in ("base", "distilled")}
    return {
        name: {"seconds": stage["seconds"], "tokens": tokens.get(name)}
        for name, stage in manifest["stages"].items()
        if stage["seconds"] >= 1
    }


def _lengths(study: Study, arm: str) -> pd.Series:
    return study.traces(arm).token_ids.map(len)


def counts(study: Study) -> dict[str, Any]:
    """What came out of each arm."""
    found = {}
    for arm in ("base", "distilled"):
        traces, verdicts = study.traces(arm), study.verdicts(arm)
        found[arm] = {
            "traces": len(traces),
            "answers": int((traces.answer >= 0).sum()),
            "cut": int((traces.finish_reason == "length").sum()),
            "steps": len(study.steps(arm)),
            "verdicts": verdicts.label.value_counts().to_dict(),
        }
    return found


def plain(study: Study, given: argparse.Namespace) -> dict[str, float]:
    """Tokens a second of plain transformers on a part of the same work."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(given.threads)
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    traces = study.traces("base").head(8)
    prompts = [torch.tensor([int(i) for i in ids]) for ids in traces.prompt_ids]
    longest = max(len(ids) for ids in prompts)
    pad = tokenizer.pad_token_id or 0
    rows = torch.stack([torch.nn.functional.pad(ids, (longest - len(ids), 0), value=pad) for ids in prompts])
    mask = torch.stack([torch.arange(longest) >= longest - len(ids) for ids in prompts]).long()

    def generate() -> int:
        torch.manual_seed(0)
        out = model.generate(rows, attention_mask=mask, do_sample=True, temperature=0.7, top_p=0.95, top_k=0,
                             max_new_tokens=100, min_new_tokens=100, pad_token_id=pad)  # fmt: skip
        return int((out.shape[1] - longest) * len(rows))

    whole = [
        torch.tensor([*map(int, trace.prompt_ids), *map(int, trace.token_ids)])[None]
        for trace in records.rows(traces)
    ]

    def forward() -> int:
        with torch.inference_mode():
            for ids in whole:
                logp = model(ids, use_cache=False).logits.float().log_softmax(-1)
                _ = -(logp.exp() * logp).sum(-1)
        return sum(ids.shape[1] for ids in whole)

    from peft import LoraConfig, get_peft_model

    shape = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")

    def train() -> int:
        student = get_peft_model(model, shape).train()
        optimiser = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=1e-4)
        for ids in whole[:4]:
            student(ids, labels=ids).loss.backward()
        optimiser.step()
        return sum(ids.shape[1] for ids in whole[:4])

    return {"sampling": _rate(generate), "reading": _rate(forward), "training": _rate(train)}


def _rate(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    return round(work() / (time.perf_counter() - started), 1)


def written(text: str, told: dict[str, Any]) -> str:
    """The page with the numbers put into it."""
    rows = ["| stage | seconds | tokens | tokens a second |", "|---|---|---|---|"]
    for name, one in told["stages"].items():
        rate = "" if one["tokens"] is None else f"{one['tokens'] / one['seconds']:.1f}"
        many = "" if one["tokens"] is None else f"{one['tokens']:,}"
        rows.append(f"| {name} | {one['seconds']:.0f} | {many} | {rate} |")
    found = [
        "| | traces | cut by the limit | with an answer | steps | verdicts |",
        "|---|---|---|---|---|---|",
    ]
    for arm, one in told["counts"].items():
        verdicts = ", ".join(f"{label} {n}" for label, n in one["verdicts"].items())
        found.append(
            f"| {arm} | {one['traces']} | {one['cut']} | {one['answers']} | {one['steps']} | {verdicts} |"
        )
    minutes = sum(one["seconds"] for one in told["stages"].values()) / 60
    beside = ", ".join(f"{name} {rate:.1f}" for name, rate in told["plain"].items())
    lines = [
        f"{told['questions']} questions, {told['samples']} samples each; {minutes:.0f} minutes in all.",
        "",
        *(f"    {line}".rstrip() for line in told["headline"].splitlines()),
        "",
        *found,
        "",
        *rows,
        "",
        f"Plain transformers on a part of the same work, tokens a second: {beside}.",
    ]
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    return f"{head}{START}\n" + "\n".join(lines) + f"\n{END}{tail}"


if __name__ == "__main__":
    main()
