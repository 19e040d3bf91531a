"""What two papers claim, with the numbers and the way of measuring that they published.

Paper 1 is "Better Accuracies, Worse Reasoning" (Jiang et al. 2026, arXiv 2605.28301): Qwen3-8B distilled from
DeepSeek-V3 on MedQA. Paper 2 is "Interpretable Traces, Unexpected Outcomes" (Bhambri, Biswas and Kambhampati
2026, arXiv 2505.13792): small students on CoTemp QA. Numbers are of abstracts, tables and released code.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND = "Traces"
FIRST = "Accuracies"
"""The papers, by a word of their titles."""


@dataclass(frozen=True)
class Published:
    """One claim of a paper.

    Attributes:
        name: of the claim, `analysis.MEASURES` says how a study measures it.
        paper: `FIRST` or `SECOND`.
        claim: what is claimed.
        number: published for it.
        way: how it was measured there.
    """

    name: str
    paper: str
    claim: str
    number: str
    way: str


CLAIMS = (
    Published(
        "answers", FIRST, "distilling makes answers better",
        "74.7 % to 84.4 % (+9.7 points)", "vote of 64 traces on 1,273 questions",
    ),
    Published(
        "calibration", FIRST, "and makes vote shares better calibrated",
        "0.096 to 0.034", "plain calibration error in bins of the vote share",
    ),
    Published(
        "steps", FIRST, "while more steps are wrong",
        "30.6 % to 50.3 % (+19.7 points)",
        "first trace of a question, one judge blind to manner, abstentions left out",
    ),
    Published(
        "both_right", FIRST, "also where both models answer rightly",
        "+12.1 points (p = 1.9e-30)", "questions that both models get right, all steps as independent",
    ),
    Published(
        "tone_swap", FIRST, "also with each model's steps in the other's manner",
        "+18.6 points", "steps rewritten in the other model's manner",
    ),
    Published(
        "answer_blind", FIRST, "also for a judge that does not see the answer",
        "+14.2 points", "a judge without question's options and answer",
    ),
    Published(
        "panel", FIRST, "for other judges too",
        "+7.7 to +19.8 points, kappa 0.434", "three judges, each by itself",
    ),
    Published(
        "segments", FIRST, "and however steps are cut",
        "60.1 % to 77.5 % (+17.4 points)", "chunks of sentences, 500 questions, differences of shares",
    ),
    Published(
        "abstention", FIRST, "and whatever the undecided steps are",
        "+14.8 to +19.0 points", "bounds for abstentions, without sampling error",
    ),
    Published(
        "probe", FIRST, "whether a step is wrong can be read off its activations",
        "AUROC about 0.82", "scores of all folds pooled; its paper calls it confounded by position",
    ),
    Published(
        "hedge_ablation", FIRST, "one direction carries hedging",
        "98.7 % less hedging without it", "fitted and tested on the same questions",
    ),
    Published(
        "hedge_error", FIRST, "hedging no longer goes with errors",
        "rho 0.09 to 0.02", "rank correlation of hedges and wrong steps, all traces",
    ),
    Published(
        "coupled_domain", FIRST, "where steps decide the answer, no such rise",
        "GSM8K and ARC-Challenge: none", "no significant rise",
    ),
    Published(
        "independence", SECOND, "right traces and right answers have little to do with each other",
        "28 % of problems: both right", "joint share; chi-squared on percentages",
    ),
    Published(
        "wrong_traces", SECOND, "students of wrong traces answer no worse",
        "63.9 % after wrong, 52.9 % after right traces", "students of right and of perturbed traces",
    ),
    Published(
        "ratings", SECOND, "traces that people understand best teach worst",
        "interpretability 4.86 (worst student), 3.39 (best)", "25 people a kind of trace, five-point scales",
    ),
)  # fmt: skip
"""In the order of the page."""
