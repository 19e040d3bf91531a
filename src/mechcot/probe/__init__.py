"""Linear probes on a model's insides, compared with everything that might explain what they find.

`fit_report(X, y, groups=..., confounds=..., text=...)` on arrays; `fit_data(Data(...), FitSettings(...))` has
more to say; `mechcot probe STUDY` on a study; `load_card(path).score(X)` uses a fitted one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mechcot.core.offers import at

if TYPE_CHECKING:
    from mechcot.probe.baselines import Baseline as Baseline
    from mechcot.probe.card import ProbeCard as ProbeCard
    from mechcot.probe.card import load_card as load_card
    from mechcot.probe.classifier import ProbeClassifier as ProbeClassifier
    from mechcot.probe.data import Data as Data
    from mechcot.probe.fitting import fit_data as fit_data
    from mechcot.probe.fitting import fit_report as fit_report
    from mechcot.probe.judged_steps import SIGNALS as SIGNALS
    from mechcot.probe.judged_steps import dropped as dropped
    from mechcot.probe.judged_steps import step_table as step_table
    from mechcot.probe.label_file import read_labels as read_labels
    from mechcot.probe.labels import (
        LEAKS as LEAKS,
    )
    from mechcot.probe.labels import (
        answer_labels as answer_labels,
    )
    from mechcot.probe.labels import (
        hedge_labels as hedge_labels,
    )
    from mechcot.probe.labels import (
        prefixes as prefixes,
    )
    from mechcot.probe.labels import (
        unhedged as unhedged,
    )
    from mechcot.probe.report import ProbeReport as ProbeReport
    from mechcot.probe.report import save_card as save_card
    from mechcot.probe.settings import FitSettings as FitSettings
    from mechcot.probe.spec import MEANINGS as MEANINGS
    from mechcot.probe.spec import ProbeSpec as ProbeSpec
    from mechcot.probe.spec import load_spec as load_spec
    from mechcot.probe.stored import fit_stored as fit_stored
    from mechcot.probe.stored import positions as positions

_PLACES = {
    "baselines": ("Baseline",),
    "card": ("ProbeCard", "load_card"),
    "classifier": ("ProbeClassifier",),
    "data": ("Data",),
    "fitting": ("fit_data", "fit_report"),
    "judged_steps": ("SIGNALS", "dropped", "step_table"),
    "label_file": ("read_labels",),
    "labels": ("LEAKS", "answer_labels", "hedge_labels", "prefixes", "unhedged"),
    "report": ("ProbeReport", "save_card"),
    "settings": ("FitSettings",),
    "spec": ("MEANINGS", "ProbeSpec", "load_spec"),
    "stored": ("fit_stored", "positions"),
}
"""Where the public names stand; each is loaded when it is first asked for, so that `--help` loads none."""

__all__ = sorted(name for names in _PLACES.values() for name in names)


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return at(f"mechcot.probe.{module}:{name}")
    raise AttributeError(f"module 'mechcot.probe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
