"""The detector of anomalies: scikit-learn's contract, its scores, its threshold."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.distributions import Bernoulli, Independent, Normal

from sfumato import VAE, AnomalyDetector, Autoencoder, Trainer, likelihoods

QUICK = Trainer(max_epochs=2, batch_size=64)
STATISTICS = ["typicality", "deviance", "reconstruction", "likelihood"]
statistics = pytest.mark.parametrize("statistic", STATISTICS)
# Fits this short often leave the code unused; what they prove does not depend on it.
pytestmark = pytest.mark.filterwarnings("ignore:The code has")


def small(cls=VAE, **params):
    return cls(**{"latent_dim": 2, "hidden": (16,), "random_state": 0, "trainer": QUICK, **params})


@pytest.fixture(name="zeros", scope="module")
def rows_of_one_class(digits):
    X, y = digits
    return X[y == 0]


@pytest.fixture(name="trained", scope="module")
def trained_on_zeros(zeros):
    trainer = Trainer(min_steps=1000)
    return small(latent_dim=4, hidden=(64,), image_shape=(1, 8, 8), trainer=trainer).fit(
        zeros[:120]
    )


@parametrize_with_checks(
    [
        AnomalyDetector(small(likelihood="gaussian")),
        AnomalyDetector(small(Autoencoder), statistic="reconstruction"),
        AnomalyDetector(GaussianMixture(random_state=0)),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@statistics
@pytest.mark.parametrize("contamination", [0.05, 0.2])
def test_the_threshold_is_the_quantile_of_the_training_rows_scores(
    statistic, contamination, zeros, trained
):
    detector = AnomalyDetector(FrozenEstimator(trained), statistic, contamination).fit(zeros[:120])
    values = detector.score_samples(zeros[:120])
    assert detector.offset_ == pytest.approx(np.quantile(values, contamination))
    assert (detector.predict(zeros[:120]) == -1).sum() == round(contamination * 120)
    np.testing.assert_array_equal(
        detector.predict(zeros) == -1, detector.decision_function(zeros) < 0
    )


@statistics
def test_other_digits_are_stranger_than_new_zeros(statistic, digits, zeros, trained):
    X, y = digits
    detector = AnomalyDetector(FrozenEstimator(trained), statistic).fit(zeros[:120])
    normal, strange = detector.score_samples(zeros[120:]), detector.score_samples(X[y != 0][:300])
    labels = np.repeat([1, 0], [len(normal), len(strange)])
    # Zeros are the easiest class of all: whatever score lies far below 0.9 has its sign wrong.
    assert roc_auc_score(labels, np.concatenate([normal, strange])) > 0.9


def test_each_score_is_made_of_the_estimators_own_public_answers(zeros, trained):
    def score(name):
        return AnomalyDetector(FrozenEstimator(trained), name).fit(zeros).score_samples(zeros)

    terms, attainable = trained.terms(zeros), trained.saturated(zeros)
    likelihood = trained.score_samples(zeros)
    np.testing.assert_array_equal(score("likelihood"), likelihood)
    np.testing.assert_allclose(score("deviance"), likelihood - attainable, rtol=1e-12)
    np.testing.assert_array_equal(score("reconstruction"), -terms["reconstruction"])
    np.testing.assert_array_equal(score("auto"), score("typicality"))


def test_typicality_is_the_log_density_of_the_statistics_up_to_a_constant(zeros, trained):
    detector = AnomalyDetector(FrozenEstimator(trained)).fit(zeros)
    states = np.column_stack([*trained.terms(zeros).values(), trained.saturated(zeros)])
    states = states.astype(np.float64)
    normal = stats.multivariate_normal(states.mean(0), np.cov(states.T, bias=True))
    difference = normal.logpdf(states) - detector.score_samples(zeros)
    np.testing.assert_allclose(difference, difference[0], atol=1e-6)


def test_no_bernoulli_explains_a_row_better_than_the_row_itself():
    x = torch.rand(20, 5, dtype=torch.float64)
    x[:10] = x[:10].round()
    any_p = Independent(Bernoulli(torch.rand(20, 5).double()), 1)
    attained = likelihoods.Bernoulli().saturated(any_p, x)
    p = Bernoulli(x.clamp(1e-9, 1 - 1e-9), validate_args=False)
    best = p.log_prob(x).sum(1)
    # Clamped at 1e-9, each of five pixels misses at most 1e-9 times its logit, 21.
    torch.testing.assert_close(attained, best, atol=1e-6, rtol=0)
    assert (attained[:10] == 0).all()


def test_a_gaussians_best_log_likelihood_is_that_at_its_own_mean():
    loc, scale = torch.randn(4, 3), torch.rand(4, 3) + 0.1
    p = Independent(Normal(loc, scale), 1)
    attained = likelihoods.Normal().saturated(p, torch.randn(4, 3))
    torch.testing.assert_close(attained, p.log_prob(loc))


def test_the_deviance_is_negative(zeros, trained):
    # No reconstruction is perfect, and the code has its own cost.
    deviance = trained.score_samples(zeros) - trained.saturated(zeros)
    assert (deviance < 0).all()


def test_rows_held_out_give_the_threshold_of_new_rows(zeros):
    detector = AnomalyDetector(
        small(image_shape=(1, 8, 8)), calibration_fraction=0.25, random_state=0
    ).fit(zeros)
    order = np.random.RandomState(0).permutation(len(zeros))
    n_held_out = int(np.ceil(0.25 * len(zeros)))
    held_out = zeros[order[:n_held_out]]
    assert detector.offset_ == np.quantile(detector.score_samples(held_out), 0.05)
    fitted = small(image_shape=(1, 8, 8)).fit(zeros[order[n_held_out:]])
    np.testing.assert_array_equal(detector.estimator_.transform(zeros), fitted.transform(zeros))


def test_scikit_learns_densities_are_scored_by_their_likelihood(zeros):
    zeros = zeros.reshape(len(zeros), -1)
    pca = PCA(5)
    detector = AnomalyDetector(pca).fit(zeros)
    np.testing.assert_array_equal(
        detector.score_samples(zeros), pca.fit(zeros).score_samples(zeros)
    )


def test_images_and_names_are_taken_and_the_default_is_a_vae():
    images = np.random.default_rng(0).integers(0, 17, (30, 6, 9))
    detector = AnomalyDetector(small(backbone="conv", hidden=(4,))).fit(images)
    assert detector.estimator_.image_shape_ == (1, 6, 9)
    assert detector.predict(images).shape == (30,)
    assert isinstance(AnomalyDetector(random_state=3)._estimator(), VAE)
    named = AnomalyDetector(PCA(2)).fit("digits")
    assert named.predict("digits").shape == (1797,)


def test_scores_are_the_same_bits_alone_and_among_others(zeros, trained):
    detector = AnomalyDetector(FrozenEstimator(trained)).fit(zeros)
    whole = detector.score_samples(zeros)
    alone = np.concatenate([detector.score_samples(row[None]) for row in zeros[:20]])
    np.testing.assert_array_equal(alone, whole[:20])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"contamination": 0.6}, "contamination must lie in"),
        ({"contamination": 0.0}, "contamination must lie in"),
        ({"calibration_fraction": 1.0}, "calibration_fraction must lie in"),
        ({"statistic": "surprise"}, "statistic must be one of auto"),
        ({"estimator": PCA(2), "statistic": "deviance"}, "for PCA use 'likelihood'"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(params, message, zeros):
    with pytest.raises(ValueError, match=message):
        AnomalyDetector(**params).fit(zeros)
