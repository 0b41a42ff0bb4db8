"""Tables: a likelihood for every column, missing cells, single cells, and thousands of columns."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn.metrics import adjusted_rand_score
from torch import nn
from torch.distributions import MultivariateNormal

from benchmarks.tabular.customers import segments as customers
from linear_gaussian import linear_gaussian
from sfumato import (
    DEC,
    GMVAE,
    VAE,
    AnomalyDetector,
    Autoencoder,
    Coupled,
    DeepCluster,
    MixtureVAE,
    StackedAutoencoder,
    Trainer,
    load,
)
from sfumato.data import DataWarning, array_columns
from sfumato.estimators.tables import SparseTable
from sfumato.inference import cell_log_likelihood, importance_sampling, impute
from sfumato.likelihoods import (
    Auto,
    Bernoulli,
    ByColumn,
    ColumnGroup,
    LogNormal,
    NegativeBinomial,
    Nominal,
    Ordinal,
    PrincipalNormal,
    StudentT,
    ZeroInflated,
)
from sfumato.likelihoods import Normal as NormalLikelihood
from sfumato.nn import Columnwise
from sfumato.objectives import elbo
from sfumato.scaling import PrincipalAxes

QUICK = Trainer(max_epochs=1)


def mixed(n=300, holes=0.0, seed=0):
    """Six columns, one of each kind, that one hidden number drives."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "height": 170 + 8 * z + rng.normal(size=n),
            "income": np.exp(10 + z + 0.2 * rng.normal(size=n)),
            "visits": rng.poisson(np.exp(2 + 0.5 * z)),
            "member": np.where(z + 0.3 * rng.normal(size=n) > 0, "yes", "no"),
            "city": rng.choice(["Aachen", "Bonn", "Cologne"], n),
            "rating": np.clip(np.round(3 + z), 1, 5).astype(int),
        }
    )
    hidden = rng.random(frame.shape) < holes
    return frame.astype(object).mask(hidden).infer_objects() if holes else frame


# Likelihoods against scipy.


def test_the_log_normal_is_that_of_scipy():
    x = torch.tensor([[0.2, 3.0], [1.5, 40.0]])
    spread, raw = [0.5, 2.0], torch.tensor([[0.3, -0.2, -0.5, -0.1]])
    found = LogNormal(spread).family(2)(raw).log_prob(x)
    scale = (np.exp([-0.2, -0.1]) + 0.01) * spread
    loc = np.array([0.3, -0.5]) * spread
    expected = stats.lognorm(scale, scale=np.exp(loc)).logpdf(x.numpy()).sum(1)
    assert_allclose(found, expected, rtol=1e-5)


def test_the_student_t_with_a_scale_of_every_value_is_that_of_scipy():
    x, raw = torch.tensor([[0.2, -30.0]]), torch.tensor([[0.1, -1.0, 0.5, 0.7]])
    found = StudentT(4.0, "pixel").family(2)(raw).log_prob(x)
    scale = np.exp([-1.0, 0.7]) + 0.01
    expected = stats.t(4, [0.1, 0.5], scale).logpdf(x.numpy()).sum(1)
    assert_allclose(found, expected, rtol=1e-5)


def test_amounts_that_are_often_nothing_have_a_mass_at_zero_and_a_log_normal_density():
    likelihood = ZeroInflated([1.0], [0.5])
    p = likelihood.family(1)(torch.tensor([0.4, 0.2, -0.3]))
    x = np.array([0.0, 0.5, 7.0])
    scale = (np.exp(-0.3) + 0.01) * 0.5
    density = stats.lognorm(scale, scale=np.exp(1.0 + 0.2 * 0.5)).logpdf(x[1:])
    share = 1 / (1 + np.exp(-0.4))
    expected = [np.log(share), *(np.log(1 - share) + density)]
    assert_allclose(p.log_prob(torch.tensor(x)[:, None].float()), expected, rtol=1e-5)
    draws = p.sample((20_000,))
    # Four standard errors of a share of 20,000.
    assert abs(float((draws == 0).float().mean()) - share) < 4 * 0.5 / 20_000**0.5


def test_masses_of_levels_add_up_to_one_and_ordered_ones_follow_the_thresholds():
    thresholds = [[-1.0, 0.5, 2.0]]
    levels = torch.linspace(0, 1, 4)[:, None]
    p = Ordinal(4, thresholds).family(1)(torch.tensor([0.3]))
    cumulative = stats.logistic.cdf(np.array(thresholds[0]) - 0.3)
    expected = np.diff([0, *cumulative, 1])
    assert_allclose(p.log_prob(levels).exp().detach(), expected, rtol=1e-5)
    q = Nominal(4).family(1)(torch.tensor([0.1, 0.2, -3.0, 1.0]))
    assert_allclose(q.log_prob(levels).exp().sum(), 1.0, rtol=1e-6)
    assert q.mean.item() == 1.0


@pytest.mark.parametrize("log_dispersion", [-1.0, 3.0])
def test_a_table_of_kinds_has_the_sum_of_its_columns_log_likelihoods(log_dispersion):
    x = np.array([[1.5, 3.0, 1.0, 0.5], [0.2, 0.0, 0.0, 1.0]])
    groups = [
        ColumnGroup((2,), Bernoulli(), [0.0], [1.0]),
        ColumnGroup((0,), NormalLikelihood("pixel"), [1.0], [2.0]),
        ColumnGroup((1,), NegativeBinomial(), [0.0], [1.0]),
        ColumnGroup((3,), Nominal(3), [0.0], [1.0]),
    ]
    family = ByColumn(groups, shift=[0.0] * 7, holes=[]).family(4)
    family.families[2].log_dispersion.data.fill_(log_dispersion)
    raw = torch.tensor([0.3, 0.1, -0.4, 1.1, 0.2, 0.5, -0.1])
    units = torch.tensor((x - [1.0, 0, 0, 0]) / [2.0, 1, 1, 1]).float()
    r, mean = np.exp(log_dispersion), np.exp(1.1)
    level = np.array([0.2, 0.5, -0.1]) - np.log(np.exp([0.2, 0.5, -0.1]).sum())
    expected = (
        # In data units: the unit of the column is part of the density.
        stats.norm(1 + 2 * 0.1, 2 * (np.exp(-0.4) + 0.01)).logpdf(x[:, 0])
        + stats.nbinom(r, r / (r + mean)).logpmf(x[:, 1])
        + stats.bernoulli(1 / (1 + np.exp(-0.3))).logpmf(x[:, 2])
        + level[[1, 2]]
    )
    assert_allclose(family(raw).log_prob(units).detach(), expected, rtol=1e-5)


def test_a_wide_tables_density_is_that_of_a_gaussian_with_equal_noise_off_its_axes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12)) * 3 + 5
    projection = PrincipalAxes(3).fitted_to(X)
    p = PrincipalNormal(9).family(4)(torch.zeros(6))
    found = p.log_prob(projection.to_model(X)).double().numpy() - projection.log_volume(12)
    scale, axes = np.array(projection.scale), projection.axes.astype(float)
    # raw of 0: every score has the scale exp(0) + 0.01 in its unit.
    along = (1.01 * projection.unit) ** 2
    inner = projection.rest * np.eye(12) + (along - projection.rest) * axes.T @ axes
    covariance = scale[:, None] * inner * scale
    expected = stats.multivariate_normal(projection.offset, covariance).logpdf(X)
    assert_allclose(found, expected, rtol=1e-4)


# Missing cells.


class ColumnDecoder(nn.Module):
    """p(x|z) = N(W z + b, s^2 I) as columns."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, z):
        p = self.decoder(z)
        index = torch.arange(p.event_shape[0])
        return Columnwise([(index, p, 0.0)], index, torch.zeros(len(index), dtype=z.dtype))


class ObservedPosterior(nn.Module):
    """The exact posterior of a linear-Gaussian model given what is observed."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, x):
        W, b, s = self.decoder.W, self.decoder.b, self.decoder.s
        means, covariances = [], []
        for row in x:
            seen = ~row.isnan()
            w = W[seen]
            covariance = torch.linalg.inv(torch.eye(W.shape[1]).to(W) + w.T @ w / s**2)
            means.append(covariance @ w.T @ (row[seen] - b[seen]) / s**2)
            covariances.append(covariance)
        return MultivariateNormal(torch.stack(means), torch.stack(covariances))


@pytest.fixture(scope="module")
def holey():
    """A linear-Gaussian model, its exact p(x), and rows with holes."""
    model, exact = linear_gaussian()
    model.encoder = ObservedPosterior(model.decoder)
    model.decoder = ColumnDecoder(model.decoder)
    torch.manual_seed(0)
    x = exact.sample((40,))
    x[torch.rand(x.shape) < 0.4] = torch.nan
    return model, exact, x[(~x.isnan()).any(1)]


def marginal(exact, row):
    """Return log p of the observed cells of a row."""
    seen = ~row.isnan()
    covariance = exact.covariance_matrix[seen][:, seen]
    return MultivariateNormal(exact.loc[seen], covariance).log_prob(row[seen])


def test_the_bound_over_observed_cells_is_the_exact_marginal_where_the_posterior_is_exact(holey):
    model, exact, x = holey
    torch.manual_seed(0)
    terms = elbo(model, x, n_samples=4000)
    bound = -sum(terms.values())
    expected = torch.stack([marginal(exact, row) for row in x])
    # Four standard errors of 4,000 samples whose spread is below 3 nats.
    assert_allclose(bound, expected, atol=4 * 3 / 4000**0.5)
    estimate = importance_sampling(model, x, n_samples=50).log_likelihood
    # With the exact posterior every weight is the evidence.
    assert_allclose(estimate, expected, atol=1e-4)


def test_a_bound_with_another_posterior_stays_below_the_marginal_of_the_observed_cells(holey):
    model, exact, x = holey

    class Wrong(nn.Module):
        def forward(self, x):
            q = model.encoder(x)
            return MultivariateNormal(q.mean + 0.3, q.covariance_matrix * 2)

    other = type(model)(Wrong(), model.decoder, model.prior)
    torch.manual_seed(0)
    bound = -sum(elbo(other, x, n_samples=2000).values())
    expected = torch.stack([marginal(exact, row) for row in x])
    assert bool((bound < expected).all())


def test_imputation_draws_have_the_conditionals_mean_and_covariance(holey):
    model, exact, x = holey
    row = x[(x.isnan().sum(1) >= 2)][:1]
    n = 4000
    # SIR with the exact posterior: all weights are equal, and draws are exact.
    draws = impute(model, row.expand(1, -1), n_samples=n, n_draws=n, seed=1)[:, 0]
    missing, seen = row[0].isnan(), ~row[0].isnan()
    S = exact.covariance_matrix
    gain = S[missing][:, seen] @ torch.linalg.inv(S[seen][:, seen])
    mean = exact.loc[missing] + gain @ (row[0, seen] - exact.loc[seen])
    covariance = S[missing][:, missing] - gain @ S[seen][:, missing]
    found = draws[:, missing]
    error = (covariance.diagonal() / n).sqrt()
    # Resampling of as many as there are doubles the variance of the mean; five standard errors.
    assert bool(((found.mean(0) - mean).abs() < 5 * 1.5 * error).all())
    size = covariance.diagonal().sqrt()
    relative = (torch.cov(found.T) - covariance) / (size[:, None] * size)
    # A correlation of 4,000 draws, half of them distinct, has an error of 0.02.
    assert relative.abs().max() < 0.1
    assert_array_equal(draws[:, seen], row[0, seen].expand(n, -1))
    best = impute(model, row, n_samples=n, seed=1)[0, 0, missing]
    assert_allclose(best, mean, atol=float(5 * error.max()))


def test_a_cells_likelihood_given_the_others_is_the_conditional(holey):
    model, exact, _ = holey
    torch.manual_seed(1)
    x = exact.sample((5,))
    found = cell_log_likelihood(model, x, n_samples=4000)
    precision = torch.linalg.inv(exact.covariance_matrix)
    variance = 1 / precision.diagonal()
    residual = ((x - exact.loc) @ precision) * variance
    expected = -0.5 * (residual**2 / variance + (2 * torch.pi * variance).log())
    assert_allclose(found, expected, atol=0.1)


def test_a_row_without_any_cell_has_probability_one():
    X, _ = customers(0, 200)
    X[0] = np.nan
    model = VAE(2, hidden=(8,), random_state=0, trainer=QUICK).fit(X)
    assert_allclose(model.score_samples(X[:1], n_samples=500), 0.0, atol=0.5)


def test_missing_cells_are_filled_and_observed_ones_kept():
    frame = mixed(300, holes=0.2)
    values = load_values(frame)
    model = VAE(2, hidden=(32,), random_state=0, trainer=Trainer(max_epochs=60)).fit(frame)
    filled = model.impute(frame)
    whole = load_values(mixed(300))
    again = np.isnan(values)
    filled_values = model.columns_.encode(filled) if hasattr(filled, "columns") else filled
    assert not np.isnan(filled_values).any()
    assert_allclose(filled_values[~again], values[~again])
    height = again[:, 0]
    error = np.abs(filled_values[height, 0] - whole[height, 0]).mean()
    # The other columns tell the hidden number to about half: the mean alone errs by 6.4.
    assert error < 4.5


def load_values(frame):
    from sfumato.data import load_data

    return load_data(frame).X.astype(float)


# What a table is taken for.


def test_every_column_gets_the_likelihood_of_its_kind():
    rng = np.random.default_rng(0)
    n = 500
    X = np.column_stack(
        [
            rng.normal(size=n),
            rng.standard_t(1.5, n),
            np.exp(2 * rng.normal(size=n)),
            rng.poisson(30, n) - 5.0,
            rng.poisson(12, n) * (rng.random(n) > 0.1),
            rng.integers(0, 2, n),
            rng.integers(1, 6, n),
            np.exp(rng.normal(size=n)) * (rng.random(n) > 0.5),
            np.full(n, 3.0),
        ]
    )
    found = Auto().for_columns(array_columns(X), X, scaled=None)
    of = {j: type(group.likelihood).__name__ for group in found.groups for j in group.columns}
    assert [of[j] for j in range(9)] == [
        "Normal",
        "StudentT",
        "LogNormal",
        "Normal",
        "NegativeBinomial",
        "Bernoulli",
        "Ordinal",
        "ZeroInflated",
        "Constant",
    ]


def test_columns_of_different_units_weigh_alike():
    X, y = customers(0)
    quick = Trainer(max_epochs=5, min_steps=300, batch_size=256, learning_rate=2e-3)
    for model in (
        MixtureVAE(3, hidden=(32,), recipe=Coupled(rounds=(1, 1)), random_state=0, trainer=quick),
        DEC(3, hidden=(32,), random_state=0, trainer=quick),
    ):
        labels = model.fit(X).labels_
        assert adjusted_rand_score(y, labels) > 0.97
        # A unit is a name: in cents and months the clusters are the same.
        other = model.fit(X * [100, 12, 1, 100]).labels_
        assert adjusted_rand_score(labels, other) > 0.97


@pytest.mark.parametrize("n_columns", [64, 81])
def test_a_square_number_of_columns_changes_nothing(n_columns):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    X = rng.normal(size=(3, n_columns))[y] + rng.normal(size=(300, n_columns))
    model = VAE(2, hidden=(8,), random_state=0, trainer=QUICK)
    with pytest.warns(DataWarning, match="taken for a table"):
        model.fit(X)
    assert model.image_shape_ is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = VAE(2, hidden=(8,), image_shape=False, random_state=0, trainer=QUICK).fit(X)
    assert_array_equal(silent.transform(X), model.transform(X))


def test_a_model_of_mixed_columns_is_saved_and_loaded_with_the_same_answers(tmp_path):
    frame = mixed(200, holes=0.1)
    model = MixtureVAE(
        2, hidden=(8,), recipe=Coupled(rounds=(1, 0)), random_state=0, trainer=QUICK
    ).fit(frame)
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.columns_ == model.columns_
    assert_array_equal(again.predict(frame), model.predict(frame))
    assert_array_equal(again.score_samples(frame[:5]), model.score_samples(frame[:5]))


def test_reordered_columns_are_put_in_order_and_missing_ones_named():
    frame = mixed(200)
    model = Autoencoder(2, hidden=(8,), random_state=0, trainer=QUICK).fit(frame)
    assert_array_equal(model.transform(frame[frame.columns[::-1]]), model.transform(frame))
    with pytest.raises(ValueError, match="lacks the columns 'city', 'rating'"):
        model.transform(frame.drop(columns=["city", "rating"]))


# Single cells.


def test_the_strange_cell_of_a_strange_row_is_named():
    X, _ = customers(0)
    vae = VAE(2, hidden=(32,), random_state=0, trainer=Trainer(max_epochs=30))
    detector = AnomalyDetector(vae, random_state=0).fit(X)
    strange = X[:30].copy()
    column = np.arange(30) % 4
    # Twenty deviations of its column off.
    strange[np.arange(30), column] += 20 * X.std(0)[column]
    strange[:, 2] = np.round(strange[:, 2])
    found = detector.explain(strange)
    assert found.shape == strange.shape
    assert (found.argmax(1) == column).mean() > 0.9


def test_rows_many_deviations_off_in_a_small_column_are_found():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(5e4, 1e4, 600), rng.normal(0.5, 0.05, 600)])
    strange = X[:20].copy()
    strange[:, 1] = 5.0
    vae = VAE(hidden=(32,), random_state=0, trainer=Trainer(max_epochs=30))
    detector = AnomalyDetector(vae, random_state=0).fit(X)
    assert (detector.predict(strange) == -1).all()


# Wide and sparse.


def test_the_axes_of_many_rows_span_what_those_of_few_do():
    rng = np.random.default_rng(0)
    low = rng.normal(size=(2500, 5)) @ rng.normal(size=(5, 40)) * 5
    X = low + 0.1 * rng.normal(size=low.shape)
    many, few = PrincipalAxes(5).fitted_to(X), PrincipalAxes(5).fitted_to(X[:2000])
    # Cosines of the angles between two subspaces.
    cosines = np.linalg.svd(many.axes @ few.axes.T, compute_uv=False)
    assert cosines.min() > 0.999


def test_a_wide_table_is_fitted_saved_and_scored_by_its_axes(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 1500))
    model = VAE(2, hidden=(8,), image_shape=False, random_state=0, trainer=QUICK).fit(X)
    assert isinstance(model.likelihood_, PrincipalNormal)
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert_array_equal(again.score_samples(X[:3]), model.score_samples(X[:3]))
    assert model.reconstruct(X[:3]).shape == (3, 1500)
    new = rng.normal(size=(40, 1500))
    # New rows have nearly what independent standard normals have: 1,500 means and deviations of 80
    # rows each cost 1.5 / 80 nats.
    lost = stats.norm.logpdf(new).sum(1).mean() - model.score_samples(new).mean()
    assert 0 < lost < 1500 * 3 / 80


def test_a_streamed_sparse_table_gives_the_bits_of_a_dense_one(monkeypatch):
    X = sparse.random(120, 40, 0.2, random_state=0, format="csr")
    dense = VAE(2, hidden=(8,), random_state=0, trainer=QUICK).fit(X.toarray())
    monkeypatch.setattr("sfumato.estimators.tables.DENSE_BYTES", 0)
    streamed = VAE(2, hidden=(8,), random_state=0, trainer=QUICK).fit(X)
    assert_array_equal(streamed.transform(X), dense.transform(X.toarray()))
    assert_array_equal(SparseTable(X)[3:5], X.toarray()[3:5])


def test_a_streamed_sparse_table_of_zeros_and_ones_is_one_of_bits(monkeypatch):
    monkeypatch.setattr("sfumato.estimators.tables.DENSE_BYTES", 0)
    X = sparse.random(120, 40, 0.2, random_state=0, format="csr")
    X.data[:] = 1
    model = VAE(2, hidden=(8,), random_state=0, trainer=QUICK).fit(X)
    assert isinstance(model.likelihood_, Bernoulli)


# A fit this short leaves the code unused; what it proves does not depend on it.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_gmvae_fills_missing_cells_by_both_of_its_codes():
    frame = mixed(120, holes=0.1)
    recipe = Coupled(rounds=(1, 0))
    model = GMVAE(2, hidden=(8,), recipe=recipe, random_state=0, trainer=QUICK).fit(frame)
    assert not model.impute(frame).isna().to_numpy().any()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [VAE, DEC, DeepCluster])
def test_a_negative_number_among_counts_is_refused_with_column_and_row(kind):
    X = np.column_stack([3 * np.arange(40) % 31, np.arange(40) % 4]).astype(float)
    model = kind(2, random_state=0, trainer=QUICK).fit(X)
    X[5, 0] = -1
    with pytest.raises(ValueError, match=r"-1 in column 0, row 6"):
        model.transform(X)


def test_a_number_between_or_beyond_the_levels_of_the_fit_is_told():
    X = np.column_stack([np.arange(40) % 2, np.arange(40) % 4, np.linspace(0, 1, 40)])
    model = VAE(2, hidden=(8,), random_state=0, trainer=QUICK).fit(X)
    other = X.copy()
    other[2, 1], other[3, 0] = 7, -3
    with pytest.warns(DataWarning, match=r"-3 in column 0, row 4.* 7 in column 1, row 3") as told:
        codes = model.transform(other)
    assert len(told) == 1
    other[2, 1], other[3, 0] = 3, 0
    np.testing.assert_array_equal(codes, model.transform(other))


def test_layers_are_trained_on_columns_of_every_kind_with_missing_cells():
    frame = mixed(120, holes=0.1)
    labels = np.arange(120) % 2
    model = StackedAutoencoder((16, 3), random_state=0, trainer=QUICK).fit(frame, labels)
    assert model.transform(frame).shape == (120, 3)
    assert np.isfinite(model.score_samples(frame)).all()
    assert set(model.predict(frame)) <= {0, 1}
    assert list(model.phase_losses_) == ["layer-1", "layer-2", "classifier"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_missing_pixels_are_left_out_by_networks_of_either_kind(backbone):
    X = np.random.default_rng(0).random((20, 1, 8, 8))
    X[3, 0, 2, 2] = np.nan
    model = VAE(2, backbone=backbone, random_state=0, trainer=QUICK).fit(X)
    filled = model.impute(X).reshape(X.shape)
    assert 0 < filled[3, 0, 2, 2] < 1
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)].astype(filled.dtype))


@pytest.mark.parametrize("kind", [Autoencoder, DEC, DeepCluster])
def test_models_without_a_likelihood_refuse_pictures_with_missing_pixels(kind):
    X = np.random.default_rng(0).random((20, 1, 8, 8))
    X[3, 0, 2, 2] = np.nan
    with pytest.raises(ValueError, match=r"missing cells.*fill them in first"):
        kind(2, random_state=0, trainer=QUICK).fit(X)


@pytest.mark.parametrize("answer", ["transform", "score_samples"])
def test_a_value_beyond_float32_is_refused_with_its_column(answer):
    X, _ = customers(0, 100)
    model = VAE(2, hidden=(8,), random_state=0, trainer=QUICK).fit(X)
    X[3, 1] = 1e300
    with pytest.raises(ValueError, match="beyond the range of float32 in column 1"):
        getattr(model, answer)(X)
