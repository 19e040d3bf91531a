"""The conditional fit of ratings beside R's `ordinal::clmm`, on the same ratings.

    apt-get install r-base-core r-cran-ordinal
    python scripts/likert_clmm.py --out docs/likert-clmm.json

Each case draws ratings of 100 raters, 4 conditions and 12 items by the seed that stands beside it, and fits

    rating ~ condition + (1 | rater) + (1 | item) + (1 | item:condition)

by both (both by Laplace's approximation, Wald intervals). tests/test_likert_tables.py fits the first case
again and holds it against the committed numbers of R.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mechcot.analyses.likert.design import plan_of
from mechcot.analyses.likert.power import MARGINAL
from mechcot.core import files
from mechcot.stats.ordinal import Ratings, fit_ordinal
from mechcot.stats.ordinal_mixed import TERMS, fit_mixed
from mechcot.stats.rating_draws import Shares, draw_ratings

EFFECTS = np.array([0.0, 0.5, -0.5, 1.0])
CASES = (
    {"seed": 1, "shares": (0.25, 0.05, 0.1)},
    {"seed": 2, "shares": (0.4, 0.1, 0.1)},
    {"seed": 3, "shares": (0.1, 0.2, 0.05)},
    {"seed": 4, "shares": (0.5, 0.05, 0.15)},
)
"""Seeds, and what raters, items and texts share."""
R = """
suppressMessages(library(ordinal))
d <- read.csv(commandArgs(TRUE)[1])
for (name in c("group", "rater", "item", "text")) d[[name]] <- factor(d[[name]])
fit <- clmm(factor(value) ~ group + (1 | rater) + (1 | item) + (1 | text), data = d)
told <- summary(fit)$coefficients
groups <- grep("^group", rownames(told))
sd <- sapply(c("rater", "item", "text"), function(name) sqrt(VarCorr(fit)[[name]][1, 1]))
number <- function(x) paste0("[", paste(formatC(x, digits = 10, format = "g"), collapse = ","), "]")
cat(sprintf('{"effects":%s,"se":%s,"sd":%s,"log_likelihood":%.8f,"version":"%s"}', number(told[groups, 1]),
            number(told[groups, 2]), number(sd), as.numeric(logLik(fit)), packageVersion("ordinal")))
"""


def ratings_of(seed: int, shares: tuple[float, float, float]) -> Ratings:
    """The ratings of a case."""
    plan = plan_of(100, 4, 12, 6)
    return draw_ratings(plan, EFFECTS, Shares(*shares, 0.0), MARGINAL, np.random.default_rng(seed))


def here(ratings: Ratings) -> dict[str, Any]:
    """This package's fit."""
    fit, margin = fit_mixed(ratings), fit_ordinal(ratings)
    groups = range(1, ratings.groups)
    return {
        "effects": [float(fit.effects[group]) for group in groups],
        "se": [float(np.sqrt(fit.covariance[group - 1, group - 1])) for group in groups],
        "sd": dict(zip(TERMS, fit.sd, strict=True)),
        "log_likelihood": fit.log_likelihood,
        "population_averaged": [float(margin.effects[group]) for group in groups],
    }


def clmm(ratings: Ratings) -> dict[str, Any]:
    """R's fit."""
    table = pd.DataFrame({name: getattr(ratings, name) for name in ("value", "group", "rater", "item")})
    table["text"] = table["item"] * ratings.groups + table["group"]
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder, "ratings.csv"), Path(folder, "fit.R")
        table.to_csv(data, index=False)
        script.write_text(R)
        done = subprocess.run(["Rscript", str(script), str(data)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found["sd"] = dict(zip(TERMS, found["sd"], strict=True))
    return found


def main() -> None:
    """Fit every case by both and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the table to write")
    arguments = parser.parse_args()
    rows = []
    for case in CASES:
        ratings = ratings_of(**case)
        own, other = here(ratings), clmm(ratings)
        apart = {name: float(np.abs(np.subtract(own[name], other[name])).max()) for name in ("effects", "se")}
        apart["sd"] = max(abs(own["sd"][term] - other["sd"][term]) for term in TERMS)
        apart["log_likelihood"] = abs(own["log_likelihood"] - other["log_likelihood"])
        print(case, {name: f"{value:.1e}" for name, value in apart.items()}, flush=True)
        rows.append({**case, "here": own, "clmm": other, "largest_difference": apart})
    files.write_json(arguments.out, {"planted": EFFECTS.tolist(), "cases": rows})


if __name__ == "__main__":
    main()
