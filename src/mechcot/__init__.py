"""mechcot: what distilling a chain of thought does to a student, and what inside it moved.

import mechcot
study = mechcot.run("studies/organism")   # the embedded model organism
study = mechcot.Study.open("studies/organism")
study.audit(), study.commitment(), study.probe()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mechcot.core.errors import MechcotError
from mechcot.core.offers import at, offer

if TYPE_CHECKING:
    from mechcot.analyses.boundary.analysis import boundary
    from mechcot.models.directions import steer
    from mechcot.pipeline.miniature.run import run_miniature
    from mechcot.pipeline.run import foretell, plan, read, run
    from mechcot.study.folder import Study

__version__ = "0.1.0"

# What lower floors ask for from above; loaded when it is first asked for.
offer(
    analyses="mechcot.analyses.registry:ANALYSES",
    figures="mechcot.analyses.displays:FIGURES",
    no_figure="mechcot.analyses.displays:NO_FIGURE",
    texts="mechcot.analyses.displays:TEXTS",
    tasks="mechcot.tasks.registry:TASKS",
    arm_colours="mechcot.report.palette:arm_colours",
    kind_names="mechcot.steps.of_study:kind_names",
    headline="mechcot.analyses.headline:headline_html",
    main="mechcot.cli:main",
    trace_shown="mechcot.analyses.viewer.shown:trace_shown",
    compared="mechcot.analyses.viewer.shown:compared",
)

_PUBLIC = {
    "boundary": "mechcot.analyses.boundary.analysis:boundary",
    "commitment": "mechcot.analyses.commitment:",
    "foretell": "mechcot.pipeline.run:foretell",
    "Study": "mechcot.study.folder:Study",
    "plan": "mechcot.pipeline.run:plan",
    "plots": "mechcot.plots:",
    "probe": "mechcot.probe:",
    "read": "mechcot.pipeline.run:read",
    "run": "mechcot.pipeline.run:run",
    "run_miniature": "mechcot.pipeline.miniature.run:run_miniature",
    "steer": "mechcot.models.directions:steer",
}
"""What is imported when it is asked for, so that `import mechcot` stays light."""

__all__ = [
    "MechcotError",
    "Study",
    "__version__",
    "boundary",
    "commitment",
    "foretell",
    "plan",
    "plots",
    "probe",
    "read",
    "run",
    "run_miniature",
    "steer",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mechcot' has no attribute '{name}'")
    return at(_PUBLIC[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
