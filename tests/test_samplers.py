"""Samplers and maps: against known quantiles, quadrature, moments, and scikit-learn."""

from math import log, pi

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import checks
from sfumato import (
    VAE,
    Autoencoder,
    DensitySampler,
    EmpiricalSampler,
    LatentSampler,
    MappedSampler,
    MonotoneMap,
    NormalSampler,
    RingMap,
    ScipySampler,
    Trainer,
)

N = 10_000
# Kolmogorov: the largest distance of n draws' distribution function to the true one exceeds
# 1.95 / sqrt(n) with probability 0.001; the seeds are fixed, so a sampler that passes always does.
KOLMOGOROV = 1.95 / np.sqrt(N)
U = np.linspace(0, 1, 1001)

# name -> (density up to a factor, its integral, interval, the same distribution in scipy)
DENSITIES = {
    "normal": (
        lambda x: np.exp(-0.5 * x**2),
        np.sqrt(2 * pi),
        (-9.0, 9.0),
        stats.norm(),
    ),
    "gamma": (lambda x: x * np.exp(-x), 1.0, (0.0, 45.0), stats.gamma(2.0)),
    "beta": (lambda x: 60 * x**2 * (1 - x) ** 3, 1.0, (0.0, 1.0), stats.beta(3, 4)),
    "uniform": (lambda x: np.full_like(x, 7.0), 14.0, (1.0, 3.0), stats.uniform(1.0, 2.0)),
}
densities = pytest.mark.parametrize("name", DENSITIES)


def distance(draws, cdf):
    """Kolmogorov's distance of draws to a distribution function."""
    return stats.ks_1samp(draws, cdf).statistic


@densities
def test_a_given_densitys_cdf_quantiles_and_log_prob_are_the_known_ones(name):
    density, integral, (low, high), known = DENSITIES[name]
    sampler = DensitySampler(density, low, high)
    assert sampler.normalizer == pytest.approx(integral, rel=1e-9)
    x = np.linspace(low, high, 777)[1:-1]
    # At the cells' edges P is exact; within, a monotone cubic errs by a part of the cell's mass,
    # which is at most 0.017 here (that of the gamma).
    np.testing.assert_allclose(sampler.cdf(x), known.cdf(x), atol=1e-4)
    np.testing.assert_allclose(sampler.log_prob(x), known.logpdf(x), atol=1e-9)
    u = U[10:-10]
    np.testing.assert_allclose(known.cdf(sampler.ppf(u)), u, atol=1e-4)


@densities
def test_draws_from_a_given_density_pass_kolmogorovs_test(name):
    density, _, (low, high), known = DENSITIES[name]
    draws = DensitySampler(density, low, high).sample(N, random_state=0)
    assert draws.shape == (N,)
    assert distance(draws, known.cdf) < KOLMOGOROV


def test_quantiles_undo_the_cdf_and_never_fall_into_a_gap():
    # Two boxes with nothing between them, the right one twice as heavy.
    def boxes(x):
        return np.where(x < 1, 1.0, np.where(x > 2, 2.0, 0.0))

    sampler = DensitySampler(boxes, 0.0, 3.0, n_cells=300)
    x = np.array([0.1, 0.5, 0.9, 2.1, 2.5, 3.0])
    np.testing.assert_allclose(sampler.ppf(sampler.cdf(x)), x, atol=1e-12)
    # A third of the mass lies up to 1, the smallest number of that quantile.
    assert sampler.ppf(1 / 3) == pytest.approx(1.0, abs=1e-9)
    draws = sampler.sample(N, random_state=0)
    assert not ((draws > 1.000001) & (draws < 1.99)).any()
    assert (np.diff(sampler.ppf(U)) >= 0).all()
    assert sampler.log_prob([-1.0, 1.5, 2.5, 4.0]).tolist() == pytest.approx(
        [-np.inf, -np.inf, log(2 / 3), -np.inf]
    )


def test_a_linear_empirical_cdf_is_numpys_quantile_turned_round():
    values = np.random.default_rng(0).normal(size=50)
    sampler = EmpiricalSampler(values)
    np.testing.assert_array_equal(sampler.ppf(U), np.quantile(values, U))
    np.testing.assert_allclose(sampler.cdf(sampler.ppf(U)), U, atol=1e-12)
    assert sampler.cdf([values.min() - 1, values.max() + 1]).tolist() == [0, 1]


def test_the_linear_empirical_density_is_the_cdfs_slope_and_integrates_to_one():
    sampler = EmpiricalSampler([0.0, 1.0, 1.5, 4.0])
    # Three gaps, a third of the mass each.
    density = np.exp(sampler.log_prob([-0.1, 0.5, 1.2, 2.0, 4.1]))
    np.testing.assert_allclose(density, [0, 1 / 3, 2 / 3, 2 / 15, 0], atol=1e-12)


def test_a_step_draws_the_observed_numbers_equally_often():
    values = [3.0, 1.0, 2.0, 2.0]
    sampler = EmpiricalSampler(values, "step")
    draws, counts = np.unique(sampler.sample(N, random_state=0), return_counts=True)
    assert draws.tolist() == [1, 2, 3]
    # Each deviation is below four standard errors, of which one is sqrt(p (1 - p) / n).
    np.testing.assert_allclose(counts / N, [0.25, 0.5, 0.25], atol=4 * 0.5 / np.sqrt(N))
    assert sampler.cdf([0.9, 1.0, 2.0, 2.5, 3.0]).tolist() == [0, 0.25, 0.75, 0.75, 1]


def test_repeated_values_make_a_jump_of_their_share():
    sampler = EmpiricalSampler([0.0, 2.0, 2.0, 2.0, 3.0, 3.0])
    # Below 2 lies one step of five, up to 2 three; at the right end all.
    assert sampler.cdf([1.0, 2.0, 2.5, 3.0]).tolist() == pytest.approx([0.1, 0.6, 0.7, 1.0])
    assert sampler.ppf([0.4]).tolist() == [2.0]


@pytest.mark.parametrize("sampler", [EmpiricalSampler([1, 1, 2]), EmpiricalSampler([1, 2], "step")])
def test_numbers_with_a_probability_have_no_density(sampler):
    with pytest.raises(NotImplementedError, match="no density"):
        sampler.log_prob([1.0])


def test_travelling_from_one_normal_to_another_is_the_affine_map():
    journey = MonotoneMap(ScipySampler(stats.norm(1, 2)), ScipySampler(stats.norm(-3, 0.5)))
    x = np.linspace(-4, 6, 50)
    np.testing.assert_allclose(journey.forward(x), -3 + (x - 1) / 4, atol=1e-9)
    np.testing.assert_allclose(journey.inverse(journey.forward(x)), x, atol=1e-6)
    np.testing.assert_allclose(journey.log_det(x), log(1 / 4), atol=1e-9)


def test_travelling_from_observed_numbers_to_a_density_arrives():
    values = np.random.default_rng(0).exponential(size=N)
    target = DensitySampler(DENSITIES["beta"][0], 0.0, 1.0)
    arrived = MonotoneMap(EmpiricalSampler(values), target).forward(values)
    # The values' own ranks are spread evenly, so that only 1 / n is left.
    assert distance(arrived, stats.beta(3, 4).cdf) < 2 / N


def test_a_mapped_samplers_density_is_the_targets():
    source, target = ScipySampler(stats.expon()), ScipySampler(stats.norm())
    mapped = MappedSampler(source, MonotoneMap(source, target))
    checks.a_mapped_density_is_the_targets()
    assert distance(mapped.sample(N, random_state=0), stats.norm.cdf) < KOLMOGOROV


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_the_rings_density_integrates_to_one(dim):
    checks.the_rings_density_integrates_to_one(dim)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_ring_maps_log_det_is_that_of_its_jacobian_by_differences(dim):
    ring, step = RingMap(), 1e-6
    for z in np.random.default_rng(0).normal(size=(5, dim)):
        shifted = z + step * np.concatenate([np.eye(dim), -np.eye(dim)])
        images = ring.forward(shifted)
        jacobian = (images[:dim] - images[dim:]) / (2 * step)
        assert ring.log_det(z[None])[0] == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-6)


def test_the_ring_map_is_undone_outside_the_unit_sphere_and_has_no_density_within():
    z = np.random.default_rng(0).normal(size=(100, 2))
    ring = RingMap()
    np.testing.assert_allclose(ring.forward(z), z / 10 + z / np.linalg.norm(z, axis=1)[:, None])
    np.testing.assert_allclose(ring.inverse(ring.forward(z)), z, atol=1e-9)
    inner = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    assert np.isnan(ring.inverse(inner)[1:]).all()
    assert (MappedSampler(NormalSampler(2), ring).log_prob(inner) == -np.inf).all()


def test_the_rings_radius_is_one_and_a_tenth_of_rayleighs_and_its_angle_uniform():
    draws = MappedSampler(NormalSampler(2), RingMap()).sample(N, random_state=0)
    radius = np.linalg.norm(draws, axis=1)
    assert distance(10 * (radius - 1), stats.rayleigh.cdf) < KOLMOGOROV
    angle = np.arctan2(draws[:, 1], draws[:, 0])
    assert distance(angle, stats.uniform(-pi, 2 * pi).cdf) < KOLMOGOROV
    # The mean of Rayleigh's is sqrt(pi / 2), its deviation 0.655: four standard errors.
    assert radius.mean() == pytest.approx(1 + np.sqrt(pi / 2) / 10, abs=4 * 0.0655 / np.sqrt(N))


@pytest.fixture(name="pca", scope="module")
def fitted_pca(digits):
    X = digits[0].reshape(-1, 64)
    return PCA(4).fit(X), X


def test_a_gaussian_of_codes_has_their_mean_and_covariance(pca):
    model, X = pca
    codes = model.transform(X)
    density = LatentSampler("gaussian", random_state=0).fit(model, X).density_
    known = stats.multivariate_normal(codes.mean(0), np.cov(codes.T, bias=True))
    # The fit adds a millionth of the mean variance to every variance.
    np.testing.assert_allclose(density.log_prob(codes), known.logpdf(codes), atol=1e-4)


def test_a_mixture_of_codes_is_scikit_learns(pca):
    model, X = pca
    codes = model.transform(X)
    density = LatentSampler("mixture", 5, random_state=0).fit(model, X).density_
    known = GaussianMixture(5, reg_covar=1e-6 * codes.var(0).mean(), tol=1e-2, random_state=0)
    # Both maximise from random beginnings and stop early: the means agree to a tenth of a nat.
    assert density.log_prob(codes).mean() == pytest.approx(known.fit(codes).score(codes), abs=0.1)


def test_kernels_of_codes_are_gaussians_of_scotts_width_around_each(pca):
    model, X = pca
    codes = model.transform(X[:50])
    density = LatentSampler("kernel").fit(model, X[:50]).density_
    width = 50 ** (-1 / 8) * codes.std(0)
    by_hand = [np.exp(stats.norm.logpdf(z, codes, width).sum(1)).mean() for z in codes[:5]]
    np.testing.assert_allclose(np.exp(density.log_prob(codes[:5])), by_hand, rtol=1e-9)


@pytest.mark.parametrize("name", ["mixture", "gaussian", "kernel"])
def test_codes_that_are_drawn_have_the_moments_of_the_codes(name, pca):
    model, X = pca
    codes = model.transform(X)
    draws = LatentSampler(name, random_state=0).fit(model, X).density_.sample(N, random_state=1)
    scale = codes.std(0)
    # Four standard errors of a mean; kernels widen the deviations by h^2 / 2, h = 1797^(-1/8).
    np.testing.assert_allclose(draws.mean(0) / scale, 0, atol=4 / np.sqrt(N))
    widened = np.sqrt(1 + 1797 ** (-1 / 4)) if name == "kernel" else 1.0
    np.testing.assert_allclose(draws.std(0) / scale, widened, rtol=0.05)


@pytest.mark.parametrize("cls", [VAE, Autoencoder])
@pytest.mark.parametrize("name", ["mixture", "gaussian", "kernel"])
@pytest.mark.filterwarnings("ignore:The code has")
def test_rows_are_decoded_from_an_estimators_codes(cls, name, digits):
    X = digits[0][:200]
    model = cls(latent_dim=2, hidden=(16,), random_state=0, trainer=Trainer(max_epochs=2)).fit(X)
    sampler = LatentSampler(name, n_components=3, random_state=0).fit(model, X)
    rows = sampler.sample(25, random_state=0)
    codes = sampler.density_.sample(25, random_state=0)
    assert rows.shape == (25, 64)
    np.testing.assert_array_equal(rows, model.inverse_transform(codes))
    with pytest.raises(NotImplementedError, match="density_"):
        sampler.log_prob(rows)


SAMPLERS = {
    "empirical": EmpiricalSampler([1.0, 2.0, 4.0]),
    "density": DensitySampler(lambda x: x, 0.0, 1.0),
    "frozen": ScipySampler(stats.norm()),
    "normal": NormalSampler(3),
    "ring": MappedSampler(NormalSampler(2), RingMap()),
}


@pytest.mark.parametrize("name", [*SAMPLERS, "latent", "kernel"])
def test_every_sampler_draws_the_same_for_the_same_seed_and_other_for_another(name, pca):
    fitted = {
        "latent": lambda: LatentSampler(random_state=0).fit(*pca),
        "kernel": lambda: LatentSampler("kernel").fit(*pca),
    }
    sampler = fitted[name]() if name in fitted else SAMPLERS[name]
    first = sampler.sample(6, random_state=3)
    assert len(first) == 6
    np.testing.assert_array_equal(sampler.sample(6, random_state=3), first)
    assert (sampler.sample(6, random_state=4) != first).any()
    with pytest.raises(ValueError, match="n_samples must be a whole number"):
        sampler.sample(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmpiricalSampler([1.0]), "at least two finite numbers"),
        (lambda: EmpiricalSampler([1.0, np.nan]), "at least two finite numbers"),
        (lambda: EmpiricalSampler([1.0, 2.0], "cubic"), "interpolation must be one of"),
        (lambda: DensitySampler(np.exp, 0.0, np.inf), "finite numbers"),
        (lambda: DensitySampler(np.sin, 0.0, 6.0), "zero or more"),
        (lambda: DensitySampler(lambda x: 1.0, 0.0, 6.0), "shape \\(n,\\)"),
        (lambda: DensitySampler(np.zeros_like, 0.0, 6.0), "zero on the whole interval"),
        (lambda: RingMap(0.0), "width must be positive"),
        (lambda: RingMap().forward([[0.0, 0.0]]), "origin has no direction"),
        (lambda: ScipySampler(stats.norm()).ppf([1.2]), "must lie in \\[0, 1\\]"),
        (lambda: LatentSampler("copula").fit(PCA(), None), "density must be one of"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()
