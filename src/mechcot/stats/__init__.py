"""Statistics on plain arrays: no torch, and the question is what gets resampled."""

from mechcot.stats.agreement import Agreement, PairAgreement, agreement
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
from mechcot.stats.correction import Calibration, Corrected, corrected_difference, rogan_gladen
from mechcot.stats.decomposition import KindTerm, Split, split_by_kind
from mechcot.stats.inference import (
    DesignEffect,
    SignFlips,
    design_effect,
    detectable_difference,
    difference_contributions,
    difference_design_effect,
    power_of_rates,
    sign_flips,
)
from mechcot.stats.interval import Interval, leaf
from mechcot.stats.mcnemar import McNemar, mcnemar_exact
from mechcot.stats.self_consistency import sc_at_k
from mechcot.stats.sensitivity import (
    AbstentionBounds,
    Bounds,
    TippingPoint,
    abstention_bounds,
    imbens_manski,
    tipping_interval,
    tipping_point,
)
from mechcot.stats.votes import plurality, plurality_right, shared_tie_score, vote_confidence, votes

__all__ = [
    "AbstentionBounds",
    "Agreement",
    "Bounds",
    "Calibration",
    "Corrected",
    "DesignEffect",
    "Interval",
    "KindTerm",
    "McNemar",
    "PairAgreement",
    "RatioDifference",
    "SignFlips",
    "Split",
    "StratifiedAuroc",
    "TippingPoint",
    "abstention_bounds",
    "agreement",
    "auroc",
    "auroc_replicates",
    "bootstrap_ece_difference",
    "bootstrap_mean",
    "bootstrap_ratio",
    "bootstrap_ratio_difference",
    "brier_terms",
    "calibration_bins",
    "cluster_bootstrap_auroc",
    "corrected_difference",
    "design_effect",
    "detectable_difference",
    "difference_contributions",
    "difference_design_effect",
    "ece",
    "expected_calibration_gap",
    "fold_auroc",
    "imbens_manski",
    "leaf",
    "mcnemar_exact",
    "percentile_interval",
    "plurality",
    "plurality_right",
    "power_of_rates",
    "question_weighted_difference",
    "ratio_difference",
    "resampled_counts",
    "resampled_sums",
    "rogan_gladen",
    "sc_at_k",
    "shared_tie_score",
    "sign_flips",
    "split_by_kind",
    "stratified_auroc",
    "tipping_interval",
    "tipping_point",
    "vote_confidence",
    "votes",
]
