"""The probe's logistic classifier under scikit-learn's contract."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from mechcot.probe.factors import factor
from mechcot.probe.solver import MAX_ITER, solve

FloatArray = NDArray[np.float64]


class ProbeClassifier(ClassifierMixin, BaseEstimator):
    """Binary L2-regularised logistic regression on standardised columns.

    The same as `make_pipeline(StandardScaler(), LogisticRegression(C=C))`, fitted in float64 by
    `mechcot.probe.solver`; the coefficients are those of the columns as given.

    Args:
        C: inverse penalty: sum of losses plus |coef|² / (2 C), coef that of the standardised columns.
        tol: share of the scores that may still be wrong at the end, about; see `solver.solve`.
        max_iter: most iterations.

    Attributes:
        classes_: the two labels; scores above 0 mean the second, [2].
        coef_: [1, columns].
        intercept_: [1].
        n_iter_: iterations taken, [1].
        n_features_in_: columns.
    """

    def __init__(self, C: float = 0.01, *, tol: float = 1e-8, max_iter: int = MAX_ITER) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on X, [rows, columns], and labels of two kinds, [rows].

        Raises:
            ValueError: what scikit-learn's checks refuse, or other than two classes.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        if type_of_target(y, input_name="y") != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {type_of_target(y)}."
            )
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"ProbeClassifier needs both classes; there is 1 class: {self.classes_[0]!r}")
        fits = solve(factor(X, dtype="float64"), labels, C=self.C, tol=self.tol, max_iter=self.max_iter)
        if not fits.converged[0]:
            warnings.warn(
                f"the probe stopped after {self.max_iter} iterations at a gradient norm of "
                f"{fits.gradient_norm[0]:.1e}, above tol={self.tol:g}; raise max_iter or lower C",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.coef_, self.intercept_, self.n_iter_ = fits.coef(), fits.intercept, fits.iterations
        return self

    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Log odds of the second class, [rows]."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        out: FloatArray = X @ self.coef_[0] + self.intercept_[0]
        return out

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Probabilities of both classes, [rows, 2]."""
        second = expit(self.decision_function(X))
        return np.column_stack([1.0 - second, second])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likelier class, [rows]."""
        second = self.decision_function(X) > 0
        return np.asarray(self.classes_[second.astype(np.int64)])
