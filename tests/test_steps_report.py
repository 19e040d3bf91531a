import pandas as pd
import pytest

from mechcot.core.errors import DataError
from mechcot.core.presets import PRESETS
from mechcot.core.prompt_settings import PromptSettings
from mechcot.steps import segment_report, step_rows
from mechcot.tasks import Question
from mechcot.tasks.multiple_choice import multiple_choice

QUESTIONS = {"q": Question("q", "d", "s", ("w1", "w2"), 0, "g")}
PROMPT = PromptSettings(**PRESETS["organism"]["prompt"])


def _trace(arm: str, cid: int, reasoning: str, **more: object) -> dict[str, object]:
    return {
        "qid": "q",
        "arm": arm,
        "cid": cid,
        "text": reasoning,
        "token_start": list(range(len(reasoning))),
        "token_end": list(range(1, len(reasoning) + 1)),
        "finish_reason": "stop",
        "reasoning_end": len(reasoning),
        "answer": 1,
    } | more


TRACES = pd.DataFrame(
    [
        _trace("base", 0, "### One\na b.\n\n- c d\n- e"),
        _trace("base", 1, "aa. bb. cc", finish_reason="length"),
        _trace("distilled", 0, "para one.\n\n1. two\n2. three four"),
        _trace("distilled", 1, ""),
    ]
)


def _steps(segmenter: str, window: int = 90) -> pd.DataFrame:
    task = multiple_choice(PROMPT, segmenter)
    return pd.DataFrame(step_rows(TRACES, QUESTIONS, task, window))


def test_every_number_of_a_report_small_enough_to_count_by_hand() -> None:
    task = multiple_choice(PROMPT, "structural")
    report = segment_report(TRACES, _steps("structural"), QUESTIONS, task).set_index("arm")
    base, distilled = report.loc["base"], report.loc["distilled"]
    assert (base.n_traces, base.n_steps, base.steps_per_trace) == (2, 6, 3)
    assert (base.share_heading, base.share_bullet, base.share_sentence) == (1 / 6, 2 / 6, 3 / 6)
    assert base.words_per_step == (4 + 3 + 2 + 3) / 6
    assert base.coverage == (12 + 5 + 3 + 3 + 3 + 2) / (len(TRACES.text[0]) + 10)
    assert (base.share_cut, distilled.share_cut) == (0.5, 0)
    assert (distilled.n_steps, distilled.n_traces_without_steps) == (3, 1)
    assert (distilled.share_paragraph, distilled.share_numbered) == (1 / 3, 2 / 3)


def test_shares_of_the_rules_add_to_one_under_every_segmenter() -> None:
    for segmenter, window in (("sentences", 90), ("lines", 90), ("structural", 90), ("words", 2)):
        task = multiple_choice(PROMPT, segmenter)
        report = segment_report(TRACES, _steps(segmenter, window), QUESTIONS, task, window)
        shares = report[[name for name in report if name.startswith("share_") and name != "share_cut"]]
        assert shares.sum(axis=1).tolist() == pytest.approx([1, 1])
        assert (report.coverage <= 1).all()


def test_steps_of_another_segmenter_are_named() -> None:
    with pytest.raises(DataError, match="question q, arm base, trace 0 has 3 steps"):
        segment_report(TRACES, _steps("structural"), QUESTIONS, multiple_choice(PROMPT, "sentences"))
    with pytest.raises(DataError, match="window"):
        segment_report(TRACES, _steps("words", 2), QUESTIONS, multiple_choice(PROMPT, "words"), 3)
