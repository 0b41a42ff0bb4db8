"""Principal components of rows, among which their neighbours are looked for."""

import numpy as np
from scipy.linalg import eigh
from sklearn.decomposition import PCA

from sfumato.inference import RowSource

# Neighbours are first looked for among this many principal components of the rows.
N_PRINCIPAL = 30
# Columns up to which their covariance is formed, and rows up to which their products are instead.
MOST_COLUMNS, MOST_ROWS = 1024, 2000


def principal_points(rows: RowSource) -> np.ndarray:
    """Return the rows' first principal components, shape (n, at most 30).

    Of many columns the covariance is not formed: the components come from the products of few rows,
    and of many rows from a randomised decomposition, the same at every call.
    """
    x = rows[slice(None)].cpu().numpy()
    n = min(N_PRINCIPAL, *x.shape)
    if x.shape[1] > MOST_COLUMNS and len(x) <= MOST_ROWS:
        return _points_of_products(x, n)
    wide = x.shape[1] > MOST_COLUMNS
    pca = PCA(n, svd_solver="randomized" if wide else "covariance_eigh", random_state=0)
    # Rows that are all alike have no variance to explain a share of.
    with np.errstate(invalid="ignore"):
        points: np.ndarray = pca.fit_transform(x)
    return points


def _points_of_products(x: np.ndarray, n_components: int) -> np.ndarray:
    """Return the first principal components of few rows by the products of their pairs."""
    centred = x - x.mean(axis=0)
    products = np.zeros((len(x), len(x)))
    for columns in np.array_split(centred, -(-x.shape[1] // MOST_COLUMNS), axis=1):
        wide = columns.astype(np.float64)
        products += wide @ wide.T
    size = len(x)
    values, vectors = eigh(products, subset_by_index=[size - n_components, size - 1])
    points = vectors[:, ::-1] * np.sqrt(values[::-1].clip(0))
    # An eigenvector's sign is arbitrary: the largest entry becomes positive.
    largest = points[np.abs(points).argmax(axis=0), np.arange(n_components)]
    signed: np.ndarray = (points * np.where(largest < 0, -1, 1)).astype(x.dtype)
    return signed
