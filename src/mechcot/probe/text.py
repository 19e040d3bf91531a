"""What the words alone say: TF-IDF of word and character n-grams under a logistic model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechcot.core.errors import AnalysisError
from mechcot.probe.cross_fitting import Source
from mechcot.probe.data import BoolArray, Column, FloatArray, IntArray

TEXT_GRID = (0.3, 3.0, 30.0)
_KINDS: tuple[dict[str, Any], ...] = (
    {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
    {"analyzer": "char_wb", "ngram_range": (2, 5)},
)


def texts(text: Column, y: IntArray) -> Source:
    """A logistic model of word 1-2-grams and of character 2-5-grams inside word bounds.

    N-grams are counted once; which of them count, and their inverse document frequencies, come from the
    training rows of each fit. Equal texts are fitted as one row that weighs as many.

    Args:
        text: of each step, [steps].
        y: 1 where the step is erroneous, [steps].

    Raises:
        AnalysisError: no text has a word.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    names, codes = np.unique(np.asarray(text, dtype=object).astype(str), return_inverse=True)
    try:
        counts = [CountVectorizer(**kind).fit_transform(names).tocsr() for kind in _KINDS]
    except ValueError as error:  # "empty vocabulary"
        raise AnalysisError(f"none of the {len(codes)} texts has a word; leave the texts out") from error

    def fit(rows: BoolArray, C: FloatArray) -> FloatArray:
        out, weighted = np.empty(rows.shape), {}
        for index, (mask, penalty) in enumerate(zip(rows, C, strict=True)):
            key = mask.tobytes()
            if key not in weighted:
                weighted = {key: _tf_idf(counts, np.bincount(codes[mask], minlength=len(names)))}
            out[index] = _fitted(weighted[key], codes, y, mask, float(penalty))[codes]
        return out

    return fit


def _tf_idf(counts: Sequence[Any], seen: NDArray[Any]) -> Any:
    """TF-IDF rows of all texts, each kind of n-gram at length 1, from training rows alone, [texts, n-grams].

    Args:
        counts: n-grams of each text, sparse, [texts, n-grams] each.
        seen: how many training rows have each text, [texts].
    """
    from scipy.sparse import diags_array, hstack
    from sklearn.preprocessing import normalize

    parts = []
    for matrix in counts:
        present = matrix.copy()
        present.data = np.ones(len(present.data))
        frequency = np.asarray(present.T @ seen).ravel()
        # scikit-learn's smoothed idf; an n-gram in one training row alone teaches little and costs time
        idf = np.log((1.0 + seen.sum()) / (1.0 + frequency)) + 1.0
        kept = np.flatnonzero(frequency >= 2)
        parts.append(normalize((matrix @ diags_array(idf)).tocsc()[:, kept].tocsr()))
    return hstack(parts).tocsr()


def _fitted(table: Any, codes: NDArray[Any], y: IntArray, mask: BoolArray, C: float) -> FloatArray:
    """Log odds of an error of every text, [texts]."""
    from sklearn.linear_model import LogisticRegression

    weights = [np.bincount(codes[mask & (y == label)], minlength=table.shape[0]) for label in (0, 1)]
    if table.shape[1] == 0:
        return np.full(table.shape[0], np.log(weights[1].sum() / weights[0].sum()))
    used = [np.flatnonzero(weight) for weight in weights]
    model = LogisticRegression(C=C, max_iter=1000, tol=1e-5)
    model.fit(
        table[np.concatenate(used)],
        np.repeat([0, 1], [len(part) for part in used]),
        sample_weight=np.concatenate([weight[part] for weight, part in zip(weights, used, strict=True)]),
    )
    out: FloatArray = np.asarray(model.decision_function(table), dtype=np.float64)
    return out
