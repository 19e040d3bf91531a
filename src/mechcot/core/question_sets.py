"""Public sets of questions by name: where they lie and what their columns hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class QuestionSet:
    """A public set of questions.

    Attributes:
        about: what it is, and what trips people up.
        questions: what the section `questions` has in the set's form; what is written beside `set` counts.
        open: whether its questions have no options (`preset: open`).
        train: its split to train on; None: it has none.
        n_options: of every question; None: they differ, or there are none.
        n_asked: questions of the split that is asked, as its page told in November 2026, for plans; None: it
            is not known.
        n_train: likewise of the split to train on.
    """

    about: str
    questions: Mapping[str, Any]
    open: bool = False
    train: str | None = "train"
    n_options: int | None = None
    n_asked: int | None = None
    n_train: int | None = None


_MEDQA = MappingProxyType({"columns": {"qid": None, "gold": "answer_idx"}, "gold_is": "label"})
_MEDBULLETS = MappingProxyType(
    {"path": "hub:mkieffer/Medbullets", "columns": {"qid": "idx"}, "gold_is": "label"}
)

SETS: dict[str, QuestionSet] = {
    "medqa": QuestionSet(
        "MedQA (USMLE), four options: splits train and test, no validation",
        {**_MEDQA, "path": "hub:GBaker/MedQA-USMLE-4-options"},
        n_options=4,
        n_asked=1273,
        n_train=10178,
    ),
    "medqa-5": QuestionSet(
        "MedQA (USMLE) as first published, five options: its US/train.jsonl and US/test.jsonl. The same "
        "questions as `medqa` with an option more: numbers of the two are not to be compared",
        _MEDQA,
        n_options=5,
    ),
    "medmcqa": QuestionSet(
        "MedMCQA: the test split has no public answers, so validation is asked",
        {
            "path": "hub:openlifescienceai/medmcqa",
            "split": "validation",
            "columns": {"qid": "id", "options": ["opa", "opb", "opc", "opd"], "gold": "cop"},
            "gold_is": "index",
        },
        n_options=4,
        n_asked=4183,
        n_train=182822,
    ),
    "medbullets": QuestionSet(
        "Medbullets (USMLE steps 2 and 3), four options: no split to train on",
        {**_MEDBULLETS, "split": "op4_test"},
        train=None,
        n_options=4,
    ),
    "medbullets-5": QuestionSet(
        "Medbullets (USMLE steps 2 and 3), five options: no split to train on",
        {**_MEDBULLETS, "split": "op5_test"},
        train=None,
        n_options=5,
    ),
    "pubmedqa": QuestionSet(
        "PubMedQA, the labelled 1,000: abstracts, and yes, no or maybe. They lie in one split, train; the "
        "authors' halves for development and test are lists of ids that belong to their own repository",
        {
            "path": "hub:qiaojin/PubMedQA",
            "config": "pqa_labeled",
            "split": "train",
            "columns": {
                "qid": "pubid",
                "context": "context.contexts",
                "options": None,
                "gold": "final_decision",
            },
            "options": ["yes", "no", "maybe"],
            "gold_is": "text",
        },
        train=None,
    ),
    "mmlu-pro": QuestionSet(
        "MMLU-Pro: up to ten options; validation holds 70 questions with worked answers. The domain is the "
        "category",
        {
            "path": "hub:TIGER-Lab/MMLU-Pro",
            "columns": {"qid": "question_id", "gold": "answer_index", "domain": "category"},
            "gold_is": "index",
        },
        train="validation",
    ),
    "arc-challenge": QuestionSet(
        "ARC-Challenge: three to five options, some labelled 1-4; gold goes by the label",
        {
            "path": "hub:allenai/ai2_arc",
            "config": "ARC-Challenge",
            "columns": {"qid": "id", "options": "choices", "gold": "answerKey"},
            "gold_is": "label",
        },
        n_asked=1172,
        n_train=1119,
    ),
    "gsm8k": QuestionSet(
        "GSM8K: open questions; the right answer is what stands behind the solution's ####",
        {
            "path": "hub:openai/gsm8k",
            "config": "main",
            "columns": {"qid": None, "options": None},
        },
        open=True,
        n_asked=1319,
        n_train=7473,
    ),
    "cotempqa": QuestionSet(
        "CoTempQA: open questions over facts with years, JSON Lines of one relation a file (equal, overlap, "
        "during, mix); an answer has to name every entity",
        {
            "columns": {"qid": "index", "context": "facts", "options": None},
            "gold_is": "all",
        },
        open=True,
    ),
}


def in_form_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The section `questions` of a set by name, with what is given in place of the set's own.

    Raises:
        ValueError: there is no such set, or it is not on the Hub and no file is named.
    """
    if name not in SETS:
        raise ValueError(f"there is no set '{name}'; there are {', '.join(SETS)}")
    known = SETS[name]
    own = dict(known.questions)
    columns = given.get("columns")
    if isinstance(columns, Mapping):
        columns = {**own.pop("columns", {}), **columns}
    filled = {**own, **given} | ({} if columns is None else {"columns": columns})
    if filled.get("path") is None:
        raise ValueError(f"the set '{name}' is not on the Hub; name its file in path. {known.about}")
    return filled
