"""Steps, questions and judge files for tests of judges."""

import hashlib

import pandas as pd
import yaml

from loopback import verdict
from mechcot.asking.session import Session
from mechcot.asking.spending import Ledger
from mechcot.judging.judge_file import read_judge
from mechcot.judging.llm import judge_by_llm, plan
from mechcot.tasks import Question

KEY = "sk-test-4f9a" + "0123456789abcdef" * 2
LABELS = ("correct", "erroneous", "abstain", "not_checkable")


def steps_of(texts, arm="base", qid="q0", complete=True):
    rows = [
        {"qid": qid, "arm": arm, "cid": 0, "sid": sid, "text": text, "complete": complete}
        for sid, text in enumerate(texts)
    ]
    return pd.DataFrame(rows)


def questions(*qids):
    return {qid: Question(qid, "all", f"Stem of {qid}?", ("liver", "pancreas"), 0, qid) for qid in qids}


def judge_file(folder, url, **changes):
    path = folder / "judge.yaml"
    settings = {
        "base_url": url,
        "model": "asked-model",
        "api_key_env": "JUDGE_KEY",
        "max_retries": 2,
        **changes,
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def by_text(call):
    """A judge whose label depends on the step alone."""
    return verdict(LABELS[hashlib.sha256(call.step.encode()).digest()[0] % 4], f"of {call.step}")


def judgement(folder, server, steps, *, budget=None, sample=0, **changes):
    path = judge_file(folder, server.url, **changes)
    known = questions(*steps.qid.unique())
    return judged_by(path, folder / "work", steps, known, budget=budget, sample=sample)


def judged_by(path, work, steps, known, *, budget=None, sample=0):
    """The verdicts that a judge file gives."""
    session = Session(read_judge(path), work, 0, sample, Ledger(budget), progress=False)
    return judge_by_llm(steps, known, session, name=path.stem)


def planned(path, work, steps, known, seed=0):
    """What a judge file would send."""
    return plan(steps, known, read_judge(path), work, seed=seed)
