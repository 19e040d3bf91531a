"""Statistics on plain arrays: no torch, and the question is what gets resampled."""

from mechcot.stats.auroc import (
    StratifiedAuroc,
    auroc,
    auroc_replicates,
    cluster_bootstrap_auroc,
    fold_auroc,
    stratified_auroc,
)
from mechcot.stats.calibration import (
    bootstrap_ece_difference,
    brier_terms,
    calibration_bins,
    ece,
    expected_calibration_gap,
)
from mechcot.stats.cluster import (
    RatioDifference,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_ratio_difference,
    percentile_interval,
    question_weighted_difference,
    ratio_difference,
    resampled_counts,
    resampled_sums,
)
from mechcot.stats.decomposition import KindTerm, Split, split_by_kind
from mechcot.stats.interval import Interval, leaf
from mechcot.stats.mcnemar import McNemar, mcnemar_exact
from mechcot.stats.votes import plurality, plurality_right, shared_tie_score, vote_confidence, votes

__all__ = [
    "Interval",
    "KindTerm",
    "McNemar",
    "RatioDifference",
    "Split",
    "StratifiedAuroc",
    "auroc",
    "auroc_replicates",
    "bootstrap_ece_difference",
    "bootstrap_mean",
    "bootstrap_ratio",
    "bootstrap_ratio_difference",
    "brier_terms",
    "calibration_bins",
    "cluster_bootstrap_auroc",
    "ece",
    "expected_calibration_gap",
    "fold_auroc",
    "leaf",
    "mcnemar_exact",
    "percentile_interval",
    "plurality",
    "plurality_right",
    "question_weighted_difference",
    "ratio_difference",
    "resampled_counts",
    "resampled_sums",
    "shared_tie_score",
    "split_by_kind",
    "stratified_auroc",
    "vote_confidence",
    "votes",
]
