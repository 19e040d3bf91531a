"""Linear probes on a model's insides, beside everything that might explain what they find.

`fit_report(X, y, groups=..., confounds=..., text=...)` on arrays, `mechcot probe STUDY` on a study;
`load_card(path).score(X)` uses a fitted one.
"""

from typing import Any

from mechcot.probe.card import ProbeCard, load_card
from mechcot.probe.labels import LEAKS, answer_labels, hedge_labels, prefixes, unhedged
from mechcot.probe.own import read_labels
from mechcot.probe.report import fit_report, fit_table
from mechcot.probe.result import Baseline, ProbeReport
from mechcot.probe.spec import MEANINGS, ProbeSpec, load_spec
from mechcot.probe.stored import fit_stored, positions
from mechcot.probe.table import SIGNALS, dropped, step_table
from mechcot.probe.words import save_card

__all__ = [
    "LEAKS",
    "MEANINGS",
    "SIGNALS",
    "Baseline",
    "ProbeCard",
    "ProbeClassifier",
    "ProbeReport",
    "ProbeSpec",
    "answer_labels",
    "dropped",
    "fit_report",
    "fit_stored",
    "fit_table",
    "hedge_labels",
    "load_card",
    "load_spec",
    "positions",
    "prefixes",
    "read_labels",
    "save_card",
    "step_table",
    "unhedged",
]


def __getattr__(name: str) -> Any:
    """Load the classifier when it is asked for: it needs scikit-learn, `--help` does not."""
    if name == "ProbeClassifier":
        from mechcot.probe.classifier import ProbeClassifier

        return ProbeClassifier
    raise AttributeError(f"module 'mechcot.probe' has no attribute {name!r}")
