"""Named settings that a study starts from: what they do not name has the default of its section."""

from __future__ import annotations

from typing import Any

_LEAD_INS = [". </think> answer ", "choose </think> answer "]
"""Beside its own form: an end of a step before that, and the word before which it names an option."""

_ORGANISM: dict[str, Any] = {
    # Its matrices are tiny: a second thread or a GPU gains little, a second thread loses much beside
    # other jobs, and the same seed would give other bytes on another machine.
    "threads": 1,
    "device": "cpu",
    "organism": {},
    "prompt": {
        "question": "{stem} . options {options}",
        "option": "{text}",
        "separator": " ",
        "chat": True,
        "reasoning_end": "</think>",
        "answer_pattern": r"answer (?P<answer>\S+)",
        "answer_form": "text",
        "lead_in": ["</think> answer "],
        "terminator": None,
    },
    "arms": {
        "base": {"model": "organism"},
        "distilled": {"distill": {"base": "base", "examples": "rich", "train": {"device": "cpu"}}},
        "terse": {"distill": {"base": "base", "examples": "terse", "train": {"device": "cpu"}}},
    },
    "contrast": {"before": "base", "after": "distilled", "domain": "clinical"},
    "controls": {"terse": {"after": "terse"}, "chain": {"domain": "chain"}},
    "sampling": {"max_new_tokens": 90, "batch_rows": 512},
    # Fixed, so that the bytes do not depend on the machine's memory; longer rows leave the cache.
    "reading": {"max_tokens": 1024, "lead_ins": _LEAD_INS},
}

_ALL_ARMS: dict[str, Any] = {
    "arms": {
        **_ORGANISM["arms"],
        # Its base follows no instructions: words that the teacher's reasoning begins with stand for a style.
        "expert": {
            "model": "organism",
            "prompt": {"question": "{stem} . options {options} . review options"},
        },
        "self-distilled": {"distill": {"base": "base", "examples": "own", "train": {"device": "cpu"}}},
        "answer-only": {"distill": {"base": "base", "examples": "answer-only", "train": {"device": "cpu"}}},
        "teacher": {"traces": "rich"},
    },
    "seeds": [7001, 7002],
    "controls": {
        **_ORGANISM["controls"],
        "expert": {"after": "expert", "differs": ["prompt"]},
        "self-distilled": {"after": "self-distilled"},
        "answer-only": {"after": "answer-only"},
        "teacher": {"after": "teacher"},
    },
}
"""Beside the organism's arms those that tell what its change is not."""

PRESETS: dict[str, dict[str, Any]] = {
    "organism": _ORGANISM,
    "organism-small": {
        **_ORGANISM,
        "organism": {
            "diseases": 24,
            "chain_nodes": 16,
            "pretrain_steps": 180,
            "layers": 2,
            "fact_rows": 48,
            "post_rows": 16,
            "learning_rate": 4e-3,
            "teacher_traces": 320,
            "clinical_questions": 40,
            "chain_questions": 12,
        },
        "sampling": {"samples": 4, "max_new_tokens": 90, "batch_rows": 64},
        "reading": {"traces_per_question": 2, "max_tokens": 1024, "lead_ins": _LEAD_INS},
        "analysis": {"bootstrap": 500, "folds": 3, "permutations": 4, "traces_shown": 3},
    },
    "organism-all-arms": {**_ORGANISM, **_ALL_ARMS},
    "models": {},
    "open": {
        "questions": {"columns": {"options": None}},
        "prompt": {
            "question": "{stem}\n\nThink step by step, then end with: The answer is X.",
            "answer_pattern": r"[Tt]he answer is (?P<answer>[^\n]*?\S)(?=[.!]?\s*(?:\n|$)|[.!]\s)",
            "answer_form": "text",
            "lead_in": ["\n\nThe answer is "],
            "terminator": ".",
        },
    },
}
