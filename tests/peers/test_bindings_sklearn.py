"""`eckart.TruncatedSVD` as scikit-learn wants an estimator, and beside its own ones."""

import eckart
import numpy as np
import pytest
import scipy.sparse
import sklearn.decomposition
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

ESTIMATORS = [
    eckart.TruncatedSVD(),
    eckart.TruncatedSVD(n_components=1, engine="golub-kahan"),
    eckart.TruncatedSVD(n_components=None, energy=0.99),
]
# One check is for what claims the array API, which this does not; it skips itself.
CHECKS = [
    (estimator, check)
    for one in ESTIMATORS
    for estimator, check in estimator_checks_generator(one)
    if check.func.__name__ != "check_array_api_input"
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=lambda value: getattr(value, "func", value))
def test_estimator_checks(estimator, check):
    check(estimator)


def test_there_are_checks():
    assert len(CHECKS) > 40 * len(ESTIMATORS)


def data(rows=60, columns=12, dtype=np.float64):
    random = np.random.default_rng(4)
    return (random.standard_normal((rows, 5)) @ random.standard_normal((5, columns))
            + 0.1 * random.standard_normal((rows, columns))).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_what_scikit_learn_computes(dtype):
    X = data(dtype=dtype)
    ours = eckart.TruncatedSVD(n_components=4).fit(X)
    theirs = sklearn.decomposition.TruncatedSVD(n_components=4, algorithm="arpack").fit(data())
    # Perturbation of subspaces: the error of the values over the gap, of order 1 here.
    allowed = {np.float64: 1e-12, np.float32: 1e-5}[dtype]
    for name in ("singular_values_", "explained_variance_", "explained_variance_ratio_"):
        mine, reference = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == dtype
        worst = np.abs(mine / reference - 1).max()
        print(f"{name}: off by {worst:.3g}, {allowed:g} allowed")
        assert worst <= allowed
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1))
    assert np.abs(ours.components_ - signs[:, None] * theirs.components_).max() <= allowed
    again, reference = (one.inverse_transform(one.transform(X)) for one in (ours, theirs))
    assert np.abs(again - reference).max() <= 10 * allowed
    assert ours.transform(X).dtype == dtype


def test_the_numbers_hold_together():
    X = data()
    estimator = eckart.TruncatedSVD(n_components=3)
    reduced = estimator.fit_transform(X)
    assert np.abs(reduced - estimator.transform(X)).max() <= 1e-12 * np.linalg.norm(X)
    error = np.linalg.norm(X - estimator.inverse_transform(reduced)) / np.linalg.norm(X)
    assert abs(error - estimator.error_) <= 1e-12
    assert estimator.certificate_.error_low - 1e-12 <= error <= estimator.certificate_.error_high + 1e-12
    assert np.array_equal(estimator.components_, clone(estimator).fit(X).components_)
    for threads in (1, 2):
        again = eckart.TruncatedSVD(n_components=3, threads=threads).fit(X)
        assert np.array_equal(estimator.components_, again.components_)


def test_ranks_by_energy_and_error():
    X = data()
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    wanted = int(np.argmax(squares.cumsum() / squares.sum() >= 0.9)) + 1
    assert eckart.TruncatedSVD(None, energy=0.9).fit(X).n_components_ == wanted
    assert eckart.TruncatedSVD(1, energy=0.9).fit(X).components_.shape == (1, 12)
    assert eckart.TruncatedSVD(None, error=0.2).fit(X).error_ <= 0.2
    assert eckart.TruncatedSVD(None).fit(X).components_.shape == (12, 12)


def test_it_works_in_pipelines_and_keeps_names():
    X = data()
    y = X.sum(axis=1)
    search = GridSearchCV(make_pipeline(eckart.TruncatedSVD(), Ridge()), {"truncatedsvd__n_components": [1, 5]}, cv=3)
    assert search.fit(X, y).best_params_ == {"truncatedsvd__n_components": 5}
    assert list(eckart.TruncatedSVD(3).fit(X).get_feature_names_out()) == [f"truncatedsvd{i}" for i in range(3)]


def test_wrong_input():
    for bad in (0, 13, -1, 2.5):
        with pytest.raises(ValueError, match="found"):
            eckart.TruncatedSVD(n_components=bad).fit(data())
    with pytest.raises(TypeError, match="[Ss]parse"):
        eckart.TruncatedSVD().fit(scipy.sparse.csr_matrix(data()))
    with pytest.raises(ValueError, match="NaN"):
        eckart.TruncatedSVD().fit(np.full((5, 5), np.nan))
