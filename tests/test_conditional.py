"""The conditional VAE: what it is told, what it explains, and what can be asked of it."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sfumato import ELBO, IWAE, ConditionalVAE, SemiAmortised, Trainer, load
from sfumato.artifacts import ArtifactError
from sfumato.data import load_data
from sfumato.inference import importance_sampling, naive_monte_carlo
from sfumato.models import ConditionalModel
from sfumato.nn import (
    BernoulliFamily,
    Conditional,
    ConditionedNormal,
    GaussianFamily,
    Injected,
    mlp,
)
from sfumato.objectives import binarized, elbo, total

QUICK = Trainer(max_epochs=2, batch_size=64)
# Fits this short often leave the code unused; what they prove does not depend on it.
pytestmark = pytest.mark.filterwarnings("ignore:The code has")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture(scope="module")
def cvae(digits):
    trainer = Trainer(max_epochs=30, batch_size=64, threads=1)
    settings = {"image_shape": (1, 8, 8), "random_state": 0, "trainer": trainer}
    model = ConditionalVAE(latent_dim=5, hidden=(200, 200), **settings)
    return model.fit(digits.X[:1400], digits.y[:1400])


def quick(**params):
    return ConditionalVAE(
        **{"latent_dim": 2, "hidden": (16,), "random_state": 0, "trainer": QUICK, **params}
    )


def pictured(**params):
    """Return a quick model of rows of 64 values that are pictures."""
    return quick(**{"image_shape": (1, 8, 8), **params})


def toy():
    """Return a model of five pixels with one latent number and two kinds of condition."""
    torch.manual_seed(0)
    prior = ConditionedNormal(2, 1)
    nn.init.normal_(prior.network[-1].weight, std=0.3)
    return ConditionalModel(
        Conditional(Injected(mlp([5, 8, 2]), 2, every_layer=True), GaussianFamily(1)),
        Conditional(Injected(mlp([1, 8, 5]), 2, every_layer=False), BernoulliFamily(5)),
        prior,
        2,
    )


@pytest.mark.parametrize("kind", ["Linear", "every layer"])
def test_injection_into_the_first_layer_is_concatenation(kind):
    torch.manual_seed(0)
    plain = mlp([5, 4, 3])
    told = Injected(plain, 2, every_layer=kind == "every layer")
    rows = torch.randn(7, 7)
    first = nn.Linear(7, 4)
    first.weight.data = torch.cat([plain[0].weight, told.injections["0"].weight], dim=1)
    first.bias.data = plain[0].bias.data
    hidden = plain[1](first(rows))
    expected = plain[2](hidden)
    if kind == "every layer":
        expected = expected + told.injections["2"](rows[:, 5:])
    torch.testing.assert_close(told(rows), expected)


def test_the_evidence_given_a_condition_equals_quadrature():
    model = toy()
    x = torch.bernoulli(torch.full((6, 5), 0.5))
    c = torch.eye(2)[[0, 1, 0, 1, 0, 1]]
    rows = torch.cat([x, c], dim=1)
    z = torch.linspace(-12, 12, 4001)[:, None, None].expand(-1, 6, 1)
    with torch.no_grad():
        log_joint = model.log_joint(rows, z)
    expected = torch.logsumexp(log_joint, 0) + np.log(24 / 4000)
    for estimate in (importance_sampling, naive_monte_carlo):
        found = estimate(model, rows, n_samples=20_000)
        # Four standard errors: one row in 16,000 by chance.
        error = (found.log_likelihood - expected).abs()
        assert (error < 4 * found.standard_error + 1e-4).all()
    every = importance_sampling(model, x, n_samples=20_000, conditions=torch.eye(2))
    own = every.log_likelihood.gather(1, c.argmax(1, keepdim=True)).squeeze(1)
    error = every.standard_error.gather(1, c.argmax(1, keepdim=True)).squeeze(1)
    assert ((own - expected).abs() < 4 * error + 1e-4).all()


def test_the_bound_lies_below_the_evidence_and_is_tight_at_the_exact_posterior():
    model = toy()
    rows = torch.cat([torch.bernoulli(torch.full((50, 5), 0.5)), torch.eye(2)[[0, 1] * 25]], 1)
    with torch.no_grad():
        bound = -total(elbo(model, rows, n_samples=2000))
    evidence = importance_sampling(model, rows, n_samples=2000)
    # Five standard errors of 2,000 draws, each of less than two nats.
    assert (bound < evidence.log_likelihood + 5 * 2 / 2000**0.5).all()


def test_binarising_a_row_leaves_its_condition_alone():
    seen = []

    def watching(model, rows, noise=None):
        seen.append(rows)
        return {"loss": rows.sum(1)}

    c = torch.full((9, 2), 0.3)
    binarized(watching, toy(), torch.cat([torch.full((9, 5), 0.5), c], dim=1))
    x, kept = seen[0].split([5, 2], dim=1)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert (kept == c).all()


def test_held_out_digits_are_classified_by_bayes_rule(cvae, digits):
    proba = cvae.predict_proba(digits.X[1400:])
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    predicted = cvae.predict(digits.X[1400:])
    assert (predicted == cvae.classes_[proba.argmax(1)]).all()
    # By writers not seen in training; a model that ignores its condition would get 0.1.
    assert (predicted == digits.y[1400:]).mean() > 0.85


def test_samples_made_to_order_are_of_the_class_that_was_ordered(cvae, digits):
    judge = KNeighborsClassifier(5).fit(digits.X, digits.y)
    y = np.repeat(np.arange(10), 30)
    # The judge itself errs on one or two rows in a hundred.
    assert (judge.predict(cvae.sample(y=y)) == y).mean() > 0.9


def test_a_swap_changes_the_class_and_to_the_own_class_nothing(cvae, digits):
    X, y = digits.X[1400:], digits.y[1400:]
    np.testing.assert_allclose(cvae.swap(X, y, y), cvae.reconstruct(X, y), atol=1e-4)
    judge = KNeighborsClassifier(5).fit(digits.X, digits.y)
    wanted = (y + 1) % 10
    assert (judge.predict(cvae.swap(X, y, wanted)) == wanted).mean() > 0.9


def test_a_swap_keeps_the_place_of_the_code_within_its_prior(cvae, digits):
    X, y, wanted = digits.X[:20], digits.y[:20], (digits.y[:20] + 3) % 10
    z = cvae.transform(X, y)
    moved = cvae._carried(z, y, wanted)
    with torch.no_grad():
        priors = [cvae.model_.prior(torch.eye(10)[c]) for c in (y, wanted)]
    places = [
        (torch.from_numpy(code) - p.mean) / p.stddev
        for code, p in zip((z, moved), priors, strict=True)
    ]
    torch.testing.assert_close(*places, atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(cvae.swap(X, y, wanted), cvae.inverse_transform(moved, wanted))


def test_without_a_condition_the_evidence_is_that_of_all_classes_together(cvae, digits):
    X = digits.X[1400:1440]
    alone = np.stack(
        [cvae.log_likelihood(X, [k] * len(X), 2000).log_likelihood.numpy() for k in range(10)]
    )
    shares = np.bincount(digits.y[:1400]) / 1400
    expected = np.log((np.exp(alone) * shares[:, None]).sum(0))
    found = cvae.log_likelihood(X, n_samples=20_000)
    # Two estimates, each with an error of about the one that is told.
    error = np.abs(found.log_likelihood.numpy() - expected)
    assert (error < 6 * found.standard_error.numpy() + 1e-3).all()
    assert (found.effective_sample_size >= 1).all()


def test_what_the_condition_tells_makes_rows_likelier(cvae, digits):
    X, y = digits.X[1400:], digits.y[1400:]
    assert cvae.score(X, y) > cvae.score(X, (y + 1) % 10) + 5


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
@pytest.mark.parametrize("conditioning", ["concatenate", "inject"])
@pytest.mark.parametrize("prior", ["normal", "conditional"])
def test_every_way_of_conditioning_learns_saves_and_answers(
    backbone, conditioning, prior, digits, tmp_path
):
    model = pictured(backbone=backbone, conditioning=conditioning, prior=prior)
    model.fit(digits.X[:200], digits.y[:200])
    assert model.history_["loss"][1] < model.history_["loss"][0]
    model.save(tmp_path)
    same = load(tmp_path)
    X, y = digits.X[:30], digits.y[:30]
    np.testing.assert_array_equal(same.transform(X, y), model.transform(X, y))
    np.testing.assert_array_equal(same.sample(y=y), model.sample(y=y))
    np.testing.assert_array_equal(same.score_samples(X), model.score_samples(X))
    assert list(same.classes_) == list(range(10))
    one = model.transform(X[3:4], y[3:4])
    np.testing.assert_array_equal(one[0], model.transform(X, y)[3])


@pytest.mark.parametrize("objective", [IWAE(3), SemiAmortised(2), ELBO(beta=2.0, free_bits=0.1)])
def test_every_objective_takes_conditions(objective, digits):
    model = pictured(objective=objective).fit(digits.X[:100], digits.y[:100])
    assert np.isfinite(sum(model.terms(digits.X[:5], digits.y[:5]).values())).all()
    assert model.diagnose(digits.X[:50], digits.y[:50]).kl is not None


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical", "bernoulli"])
def test_every_likelihood_takes_conditions(likelihood, digits):
    model = pictured(likelihood=likelihood, binarize=likelihood == "bernoulli")
    model.fit(digits.X[:100], digits.y[:100])
    assert np.isfinite(model.score_samples(digits.X[:5], digits.y[:5])).all()


def test_words_are_classes_and_classes_are_drawn_as_often_as_seen(digits):
    words = np.array(["few", "many"])[(digits.y[:200] > 1).astype(int)]
    model = pictured().fit(digits.X[:200], words)
    assert list(model.classes_) == ["few", "many"]
    assert set(model.predict(digits.X[:20])) <= {"few", "many"}
    assert model.sample(4, y="many").shape == (4, 64)
    share = model.condition_["shares"][1]
    assert share == pytest.approx((words == "many").mean())


@pytest.mark.parametrize("n_attributes", [1, 3])
def test_attributes_are_told_in_units_of_their_deviations(n_attributes, digits):
    rng = np.random.default_rng(0)
    y = 50 + 7 * rng.standard_normal((200, n_attributes))
    y = y[:, 0] if n_attributes == 1 else y
    model = pictured().fit(digits.X[:200], y)
    told = model._condition.encode(y)
    assert told.mean(0).abs().max() < 1e-5
    torch.testing.assert_close(told.std(0, correction=0), torch.ones(n_attributes))
    assert model.classes_ is None
    assert model.sample(3, y=y[0]).shape == (3, 64)
    assert model.swap(digits.X[:3], y[:3], y[3:6]).shape == (3, 64)


def test_several_labels_for_each_row_are_attributes(digits):
    y = np.stack([digits.y[:100] % 2, digits.y[:100] > 4], axis=1)
    assert pictured().fit(digits.X[:100], y).condition_["kind"] == "attributes"


def test_what_cannot_be_used_is_told_in_a_sentence(digits):
    X, y = digits.X[:60], digits.y[:60]
    with pytest.raises(ValueError, match="target y is None"):
        pictured().fit(X)
    with pytest.raises(ValueError, match="60 rows and y 59"):
        pictured().fit(X, y[:59])
    with pytest.raises(ValueError, match="NaN"):
        pictured().fit(X, np.full(60, np.nan))
    with pytest.raises(ValueError, match="conditioning must be one of"):
        pictured(conditioning="film").fit(X, y)
    with pytest.raises(ValueError, match="prior must be one of"):
        pictured(prior="vamp").fit(X, y)
    model = pictured().fit(X, y)
    with pytest.raises(ValueError, match="y holds 10, which is none of the classes"):
        model.transform(X, y + 2)
    with pytest.raises(ValueError, match="target y is None"):
        model.inverse_transform(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="3 rows and y 2"):
        model.sample(3, y=[1, 2])
    attributes = pictured().fit(X, np.stack([y, -y], axis=1).astype(float))
    with pytest.raises(ValueError, match="cannot be inferred"):
        attributes.predict(X)
    with pytest.raises(ValueError, match="with which attributes"):
        attributes.sample(3)
    with pytest.raises(ValueError, match="y has 1 attributes for each row, and the fit saw 2"):
        attributes.transform(X, y)


def test_a_checkpoint_of_other_conditions_is_refused(digits, tmp_path):
    X, y = digits.X[:60], digits.y[:60]
    trainer = Trainer(max_epochs=1, batch_size=32, checkpoint=str(tmp_path))
    pictured(trainer=trainer).fit(X, y)
    with pytest.raises(ArtifactError, match="other"):
        pictured(trainer=trainer).fit(X, (y + 1) % 10)


@parametrize_with_checks(
    [
        quick(),
        quick(likelihood="gaussian", conditioning="inject"),
        quick(likelihood="gaussian", prior="conditional"),
    ]
)
def test_the_conditional_vae_keeps_scikit_learns_contract(estimator, check):
    check(estimator)
