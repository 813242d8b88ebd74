"""`TruncatedSVD` as a scikit-learn estimator. The only module that imports scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .errors import RangeError
from .linalg import svd


class TruncatedSVD(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Dimensions reduced by a truncated SVD: exact where scikit-learn's own of this name draws random numbers.

    The data are not centred. The same data give the same result, on any number of threads.

    n_components   terms to keep, at most the number of features; None: every one, or as energy or error say
    energy, error  fewest terms with this share of the sum of squares, or with this relative error at most; both None:
                   n_components alone decides, else it is a cap
    engine         as for `eckart.svd`
    threads        default: as many as the process may use

    Attributes: components_ [n, features], singular_values_, explained_variance_, explained_variance_ratio_,
    n_components_ (terms kept), error_ (relative, of the data), certificate_, n_features_in_, feature_names_in_.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((50, 3)) @ np.ones((3, 8)) + np.eye(50, 8)
    >>> reduced = eckart.TruncatedSVD(n_components=2).fit_transform(X)
    >>> reduced.shape
    (50, 2)
    """

    def __init__(
        self,
        n_components: int | None = 2,
        *,
        energy: float | None = None,
        error: float | None = None,
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.energy = energy
        self.error = error
        self.engine = engine
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> TruncatedSVD:
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray[Any, Any]:
        """X in the coordinates of the components: U diag(S)."""
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_features=2)
        wanted = self.n_components
        if wanted is not None and not 1 <= wanted <= X.shape[1]:
            raise RangeError(f"n_components: found {wanted!r}, allowed: 1 .. {X.shape[1]}, the number of features")
        found = svd(X, wanted, self.energy, self.error, engine=self.engine, threads=self.threads)
        self.components_ = np.ascontiguousarray(found.Vt)
        self.singular_values_ = found.S
        self.n_components_ = found.rank
        self.error_ = found.error
        self.certificate_ = found.certificate
        reduced: np.ndarray[Any, Any] = found.U * found.S
        self.explained_variance_ = reduced.var(axis=0)
        whole = X.var(axis=0).sum()
        self.explained_variance_ratio_ = self.explained_variance_ / whole
        return reduced

    def transform(self, X: Any) -> np.ndarray[Any, Any]:
        """X in the coordinates of the components: X components_^T."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        reduced: np.ndarray[Any, Any] = X @ self.components_.T
        return reduced

    def inverse_transform(self, X: Any) -> np.ndarray[Any, Any]:
        """The data that such coordinates stand for: X components_."""
        check_is_fitted(self)
        data: np.ndarray[Any, Any] = np.asarray(X) @ self.components_
        return data

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
