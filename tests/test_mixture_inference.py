"""Coupled mixtures, evidence of the labels, diagnosis, deformations, labelled rows."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as MixtureFit
from torch import nn

import checks
from sfumato import (
    ELBO,
    GMVAE,
    VAE,
    Coupled,
    Deformation,
    EarlyStopping,
    GMVAEBound,
    MixtureVAE,
    Published,
    Trainer,
)
from sfumato.coupling import coupled_bound, neighbour_graph
from sfumato.distributions import categorical_kl
from sfumato.estimators.fit import view_of
from sfumato.estimators.recipe import Labels
from sfumato.inference import (
    LabelEvidence,
    coupled_mixture,
    diagnose_mixture,
    joint_of_views,
    label_evidence,
    map_float64,
)
from sfumato.inference.diagnostics import ALIKE, OVERLAPPING, REMEDY, UNBALANCED, UNUSED
from sfumato.models import LatentVariableModel, MixtureVAEModel
from sfumato.nn import (
    BernoulliFamily,
    Conditional,
    GaussianComponents,
    GaussianFamily,
    Recogniser,
    StandardNormal,
    Views,
    warped,
)
from sfumato.noise import Noise
from sfumato.objectives import LabelledBatch, PenalisedBound
from sfumato.partitions import joined_table
from sfumato.training import LabelledRows, Rows

K = 3


def overlapping(seed=0, n=150, width=1.0):
    """Codes in three clusters that overlap, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(K), n // K)
    centres = np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 2.5]])
    return torch.from_numpy(centres[labels] + width * rng.normal(size=(n, 2))), labels


def clear_neighbours(labels, seed=0, noise=0.1):
    """A graph in which a tenth of the neighbours are of any cluster, all others of the own."""
    rng = np.random.default_rng(seed)
    places = np.eye(K)[
        np.where(rng.random(len(labels)) < noise, rng.integers(K, size=len(labels)), labels)
    ]
    return neighbour_graph(places + 0.01 * rng.normal(size=(len(labels), K)), 5)


def plain_components():
    """Components whose M-step is exact: nothing shrunk, no ridge."""
    return GaussianComponents(K, 2, shrinkage=0.0, ridge=0.0)


@pytest.mark.parametrize("seed", range(3))
def test_without_coupling_the_bounds_are_the_rising_log_likelihoods_of_em(seed):
    z, _ = overlapping(seed)
    fit = coupled_mixture(
        z, None, K, strength=0.0, seed=seed, n_steps=12, components=plain_components()
    )
    # Rounding of a sum of 150 rows, some 500 nats.
    assert np.diff(fit.bounds).min() >= -1e-9
    # After softmax responsibilities the bound is the log-likelihood itself.
    start = np.eye(K)[_kmeans_labels(z, seed)]
    expected = MixtureFit(K, reg_covar=0.0)
    log_likelihoods = []
    with np.errstate(divide="ignore"):
        log_r = np.log(start)
    for _ in range(12):
        expected._m_step(z.numpy(), log_r)
        _, log_r = expected._e_step(z.numpy())
        log_likelihoods.append(expected.score(z.numpy()) * len(z))
    np.testing.assert_allclose(fit.bounds, log_likelihoods, rtol=1e-9)
    np.testing.assert_allclose(fit.responsibilities, np.exp(log_r), atol=1e-7)


def _kmeans_labels(z, seed):
    return KMeans(K, n_init=1, random_state=seed).fit_predict(z.numpy())


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_coupled_bound_never_falls(seed, strength):
    z, labels = overlapping(seed)
    graph = clear_neighbours(labels, seed)
    fit = coupled_mixture(
        z, graph, K, strength=strength, seed=seed, n_steps=12, components=plain_components()
    )
    assert np.diff(fit.bounds).min() >= -1e-9
    np.testing.assert_allclose(fit.responsibilities.sum(axis=1), 1.0)
    evidence = fit.components.double().log_joint(z).numpy()
    # Components come back in float32.
    found = coupled_bound(fit.responsibilities, evidence, graph, strength)
    assert found == pytest.approx(fit.bounds[-1], rel=1e-4)


def test_coupling_recovers_clusters_that_the_codes_alone_confuse():
    scores = []
    for seed in range(5):
        z, labels = overlapping(seed)
        graph = clear_neighbours(labels, seed)
        fits = [coupled_mixture(z, graph, K, strength=s, seed=seed) for s in (0.0, 1.0)]
        found = [fit.responsibilities.argmax(axis=1) for fit in fits]
        scores.append([adjusted_rand_score(labels, f) for f in found])
    alone, coupled = np.mean(scores, axis=0)
    # Neighbours are right nine times in ten and codes four times in five.
    assert coupled > alone + 0.15
    assert coupled > 0.75


def test_a_coupled_mixture_is_determined_by_its_seed_and_finds_clear_clusters():
    z, labels = overlapping(width=0.1)
    graph = clear_neighbours(labels)
    first, second = (coupled_mixture(z.float(), graph, K, strength=1.0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.responsibilities, second.responsibilities)
    assert adjusted_rand_score(labels, first.responsibilities.argmax(axis=1)) == 1.0
    assert first.components.loc.dtype == torch.float32
    assert len(first.bounds) == 15


def small_model(recogniser=None):
    torch.manual_seed(0)
    return MixtureVAEModel(
        Conditional(nn.Linear(6, 4), GaussianFamily(2)),
        Conditional(nn.Linear(2, 6), BernoulliFamily(6)),
        GaussianComponents(K, 2),
        recogniser=recogniser,
    ).eval()


def test_the_evidence_of_rows_weighs_code_and_recogniser():
    model = small_model(Recogniser(6, K)).eval()
    x = torch.rand(300, 6)
    with torch.no_grad():
        code = model.prior.log_weights + model.prior.expected_log_prob(model.encoder(x))
        expected = (code + 4.0 * model.recogniser(x)) / 5.0
        seen = label_evidence(model, x, 4.0)
        torch.testing.assert_close(seen.evidence, expected)
        torch.testing.assert_close(seen.points, model.recogniser.network(x))
        model.recogniser = None
        alone = label_evidence(model, x, 4.0)
        torch.testing.assert_close(alone.evidence, code)
        torch.testing.assert_close(alone.points, model.encoder(x).mean)


def test_evidence_of_labels_is_joined_and_taken_apart_again():
    found = LabelEvidence(torch.rand(5, K), torch.rand(5, 4))
    again = LabelEvidence.of(found.joined(), K)
    assert torch.equal(again.evidence, found.evidence)
    assert torch.equal(again.points, found.points)


def test_the_evidence_of_a_gmvaes_rows_is_prior_minus_divergence_at_the_mean_style():
    model, y = checks.small_gmvae(), checks.small_binary_rows(4)
    style = model.style(y).mean
    expected = model.prior.log_weights - model.divergences(model.encoder(y), style)
    torch.testing.assert_close(label_evidence(model, y, 4.0).evidence, expected)


def viewing(views):
    torch.manual_seed(0)
    return Recogniser(144, K, SHAPE, Views(views, SHAPE)).eval()


def test_a_recogniser_averages_probabilities_and_features_over_its_views():
    views = Deformation().views()
    recogniser, x = viewing(views), images(5)
    with torch.no_grad():
        features, log_class = recogniser.look(x)
        seen = [warped(x, view[None], SHAPE) for view in views]
        expected = torch.stack([recogniser(rows).exp() for rows in seen]).mean(0).log()
        torch.testing.assert_close(log_class, expected)
        torch.testing.assert_close(
            features, torch.stack([recogniser.network(rows) for rows in seen]).mean(0)
        )
    torch.testing.assert_close(log_class.exp().sum(1), torch.ones(5))


def test_without_views_a_recogniser_looks_once():
    recogniser, x = viewing(None), images(5)
    with torch.no_grad():
        features, log_class = recogniser.look(x)
        assert torch.equal(log_class, recogniser(x))
        assert torch.equal(features, recogniser.network(x))


def test_the_divergence_from_an_average_of_views_is_at_most_their_mean_divergence():
    """Jensen: an average is no worse than its views are on average."""
    recogniser, x = viewing(Deformation(rotation=40.0).views()), images(50)
    # Far from even, so that views disagree.
    nn.init.normal_(recogniser.head.weight, std=20.0)
    r = torch.rand(50, K, generator=torch.Generator().manual_seed(1)).softmax(-1)
    with torch.no_grad():
        _, log_class = recogniser.look(x)
        one = [
            categorical_kl(r, recogniser(warped(x, view[None], SHAPE)))
            for view in recogniser.views.maps
        ]
        mean = torch.stack(one).mean(0)
        used = categorical_kl(r, log_class)
    assert (used <= mean + 1e-6).all()
    # These views disagree, so that the difference is far above rounding.
    assert (mean - used).mean() > 1e-3


def test_what_is_seen_in_views_does_not_depend_on_the_rows_beside():
    model, x = small_model(viewing(Deformation().views())), images(9)
    model.encoder = Conditional(nn.Linear(144, 4), GaussianFamily(2))

    def look(own, rows):
        return label_evidence(own, rows, 4.0).joined()

    together = map_float64(look, model, x)
    alone = torch.cat([map_float64(look, model, row[None]) for row in x])
    assert torch.equal(together, alone)


def test_the_joint_of_two_equal_views_is_the_mean_product_of_the_labels():
    torch.manual_seed(0)
    recogniser, x = Recogniser(6, K).eval(), 5 * torch.randn(300, 6)
    joint = joint_of_views(recogniser, x, lambda rows: rows, seed=0)
    q = recogniser(x).exp().double().detach().numpy()
    np.testing.assert_allclose(joint, q.T @ q / 300, atol=1e-6)


def test_neighbours_in_the_first_graph_count_twice_what_two_views_do():
    torch.manual_seed(0)
    recogniser, x = Recogniser(6, K).eval(), 5 * torch.randn(60, 6)
    r = torch.rand(60, K).softmax(1).numpy()
    first, later = neighbour_graph(x.numpy(), 5), neighbour_graph(x.numpy()[:, :1], 5)
    state = Labels(r, later, first, None, 0.0)
    model, fit = SimpleNamespace(recogniser=recogniser), SimpleNamespace(rows=x, view=None, seed=0)
    neighbours = state.edges_of_rows()
    np.testing.assert_allclose(neighbours, r.T @ first.toarray() @ r / (r.T @ (first @ r)).sum())
    recipe = Coupled(rounds=(1, 1))
    assert recipe._edges_of_views(model, fit) is None
    fit.view = lambda rows: rows
    views = recipe._edges_of_views(model, fit)
    np.testing.assert_array_equal(views, joint_of_views(recogniser, x, fit.view, 0))
    np.testing.assert_allclose(joined_table(neighbours, views), (2 * neighbours + views) / 3)


def test_the_joint_of_two_views_is_symmetric_sums_to_one_and_has_its_own_noise():
    torch.manual_seed(0)
    x = 2 * torch.randn(300, K)

    def recogniser(rows):
        return rows.log_softmax(-1)

    def view(rows):
        return rows + torch.randn_like(rows)

    before = torch.get_rng_state()
    first, again, other = (joint_of_views(recogniser, x, view, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, first.T)
    assert first.sum() == pytest.approx(1.0, abs=1e-6)
    assert abs(first - other).max() > 0
    # Two views, not one seen twice: the labels of one view agree with themselves more often.
    same = joint_of_views(recogniser, x, lambda rows: rows, 0)
    assert np.trace(first) < np.trace(same)


# Diagnosis


class Copy(nn.Module):
    """Raw parameters of a Gaussian posterior at the row itself, or at nothing."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return torch.cat([self.gain * x, torch.zeros_like(x)], dim=-1)


def copying(gain=1.0):
    return LatentVariableModel(
        Conditional(Copy(gain), GaussianFamily(2)),
        Conditional(nn.Linear(2, 2), BernoulliFamily(2)),
        StandardNormal(2),
    )


def test_healthy_classes_need_no_remedy_and_have_the_figures_of_an_even_split():
    z, labels = overlapping(width=0.1)
    found = diagnose_mixture(copying(), z.float(), np.eye(K)[labels])
    assert found.remedy is None
    for figure in (found.mutual_information, found.class_entropy, found.class_kl):
        assert figure == pytest.approx(np.log(K))
    assert found.used_components == K
    assert found.active_units == 2
    # Centres 2.5 apart, a deviation of 0.1 within.
    assert found.separation == pytest.approx(25, rel=0.1)


def test_separation_is_the_distance_of_centres_in_deviations():
    # Two clusters at -3 and 3, each of deviation 0.5 in both dimensions: 6 / 0.5.
    offsets = 0.5 * np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    centres = np.array([[-3.0, 0.0], [3.0, 0.0]])
    z = (centres[:, None] + offsets).reshape(8, 2)
    r = np.eye(2)[np.repeat([0, 1], 4)]
    found = diagnose_mixture(copying(), torch.from_numpy(z).float(), r)
    assert found.separation == pytest.approx(12.0)


def test_rows_all_in_one_class_are_called_unbalanced():
    z, _ = overlapping()
    r = np.eye(K)[np.zeros(150, dtype=int)]
    found = diagnose_mixture(copying(), z.float(), r)
    assert found.remedy == UNBALANCED
    assert found.used_components == 1
    assert found.class_entropy == pytest.approx(0.0)
    # Every row is sure of its class: this figure alone looks healthy.
    assert found.class_kl == pytest.approx(np.log(K))
    assert found.separation == 0.0


def test_classes_that_no_row_tells_apart_are_called_alike():
    z, _ = overlapping()
    found = diagnose_mixture(copying(), z.float(), np.full((150, K), 1 / K))
    assert found.remedy == ALIKE
    assert found.mutual_information == pytest.approx(0.0, abs=1e-12)
    assert found.class_kl == pytest.approx(0.0, abs=1e-12)
    assert found.class_entropy == pytest.approx(np.log(K))
    assert found.used_components == K


def test_sure_classes_of_rows_at_random_are_called_overlapping():
    z, _ = overlapping()
    r = np.eye(K)[np.random.default_rng(0).integers(K, size=150)]
    found = diagnose_mixture(copying(), z.float(), r)
    assert found.remedy == OVERLAPPING
    # Means of 50 rows each: a seventh of a deviation in each of two dimensions.
    assert found.separation < 0.6
    assert found.mutual_information > 1.0


def test_a_collapsed_code_comes_before_its_classes_and_one_class_needs_no_remedy():
    z, _ = overlapping()
    assert diagnose_mixture(copying(0.0), z.float(), np.full((150, K), 1 / K)).remedy == UNUSED
    alone = diagnose_mixture(copying(), z.float(), np.ones((150, 1)))
    assert alone.remedy is None
    assert alone.mutual_information == pytest.approx(0.0)


def test_a_mixture_model_is_diagnosed_without_a_divergence_per_unit():
    x, r = torch.rand(200, 6), np.random.default_rng(0).dirichlet(np.ones(K), size=200)
    found = diagnose_mixture(small_model(), x, r)
    assert found.kl is None
    entropies = -(r * np.log(r)).sum(axis=1)
    share = r.mean(axis=0)
    assert found.class_entropy == pytest.approx(-(share * np.log(share)).sum())
    assert found.mutual_information == pytest.approx(found.class_entropy - entropies.mean())
    assert found.class_kl == pytest.approx(np.log(K) - entropies.mean())
    assert found.to_dict()["used_components"] == K


def test_the_remedies_name_settings_that_exist():
    assert "ELBO(warmup=10)" in REMEDY
    assert "ELBO(free_bits=0.5)" in REMEDY
    VAE(objective=ELBO(warmup=10, free_bits=0.5))
    assert "recipe=Published(GMVAEBound(cutoff=1.0))" in ALIKE
    GMVAE(recipe=Published(GMVAEBound(cutoff=1.0)))
    assert "recipe=Coupled(coupling='neighbours')" in OVERLAPPING
    assert "recipe=Coupled(n_init=3)" in UNBALANCED
    MixtureVAE(recipe=Coupled(coupling="neighbours", n_init=3))


# Deformations

SHAPE = (1, 12, 12)


def images(n=4):
    return torch.rand(n, 144, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 8, 6), (1, 144, 1)])
def test_a_deformation_of_nothing_is_the_image_itself(shape):
    x = images(3)
    found = Deformation(0.0, 0.0, 0.0, 0.0)(x, shape)
    assert found.shape == x.shape
    # Positions are computed in float32.
    torch.testing.assert_close(found, x, atol=1e-5, rtol=0)


def test_deformed_images_differ_from_row_to_row_and_follow_torchs_generator():
    x = images(1).expand(4, 144)
    deformation = Deformation()
    torch.manual_seed(5)
    first, next_one = deformation(x, SHAPE), deformation(x, SHAPE)
    torch.manual_seed(5)
    assert torch.equal(deformation(x, SHAPE), first)
    assert not torch.equal(first, next_one)
    assert first.shape == x.shape
    assert (first[1:] - first[:1]).abs().amax(1).min() > 0.01
    # An image between 0 and 1 stays there.
    assert first.min() >= 0
    assert first.max() <= 1 + 1e-5


def test_the_view_of_a_fit_deforms_rows_as_images_of_their_shape_and_nothing_else():
    x, deformation = images(2), Deformation()
    with Noise(0):
        seen = view_of(deformation, (3, 8, 6))(x)
    with Noise(0):
        assert torch.equal(seen, deformation(x, (3, 8, 6)))
    assert not torch.equal(seen, x)
    assert view_of(None, SHAPE) is None
    assert view_of(deformation, None) is None


def draws(n):
    return 2 * torch.rand(6, n) - 1


def test_four_views_have_the_mean_and_the_variance_of_the_draws():
    # Matrices for small amounts are linear in them, up to products of two (0.0017 x 0.01 / 3): the
    # identity on average, as for draws.
    small = Deformation(rotation=0.1, shift=0.01, scale=0.01, shear=0.01)
    views = small.views()
    assert views.shape == (4, 2, 3)
    torch.manual_seed(0)
    drawn = small._maps(draws(20_000))
    torch.testing.assert_close(views.mean(0), torch.eye(2, 3), atol=1e-5, rtol=0)
    # Three standard errors of a variance of 20,000 uniform draws are 2 %.
    torch.testing.assert_close(views.var(0, correction=0), drawn.var(0), rtol=0.02, atol=1e-9)


def test_a_shift_of_a_quarter_moves_an_image_by_a_quarter_of_its_side():
    x = images(2)
    maps = torch.eye(2, 3)[None].clone()
    maps[0, 0, 2] = 0.5  # coordinates run from -1 to 1
    moved = warped(x, maps, SHAPE).unflatten(1, SHAPE)
    torch.testing.assert_close(moved[..., :9], x.unflatten(1, SHAPE)[..., 3:], atol=1e-5, rtol=0)
    assert (moved[..., 9:] == 0).all()


def test_maps_are_rotations_within_the_angle_asked_for():
    torch.manual_seed(0)
    maps = Deformation(rotation=30.0, shift=0.0, scale=0.0, shear=0.0)._maps(draws(2000))
    linear = maps[:, :, :2]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).expand(2000, 2, 2))
    angles = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]) * 180 / np.pi
    assert angles.abs().max() <= 30 + 1e-3
    # Uniform: of 2,000 draws the outermost lie within a degree of the ends.
    assert angles.max() > 29
    assert angles.min() < -29
    assert maps[:, :, 2].abs().max() == 0


def test_maps_shift_scale_and_shear_within_the_amounts_asked_for():
    torch.manual_seed(0)
    shifts = Deformation(0.0, 0.08, 0.0, 0.0)._maps(draws(2000))[:, :, 2]
    scales = Deformation(0.0, 0.0, 0.1, 0.0)._maps(draws(2000))
    shears = Deformation(0.0, 0.0, 0.0, 0.2)._maps(draws(2000))
    # Sides run from -1 to 1: 0.08 of a side is 0.16.
    assert 0.155 < shifts.abs().max() <= 0.16
    sizes = torch.stack([scales[:, 0, 0], scales[:, 1, 1]])
    assert 0.9 <= sizes.min() < 0.905
    assert 1.095 < sizes.max() <= 1.1
    assert 0.195 < shears[:, 0, 1].abs().max() <= 0.2
    for maps in (scales, shears):
        assert maps[:, 1, 0].abs().max() == 0
        assert maps[:, :, 2].abs().max() == 0


def test_a_shift_by_whole_pixels_moves_the_image_by_as_many(monkeypatch):
    # Draws of 1 for the shift across, of the middle for all else: two of twelve pixels.
    x, draws = images(1), torch.full((6, 1), 0.5)
    draws[4] = 1.0
    monkeypatch.setattr(torch, "rand", lambda *size: draws)
    found = Deformation(shift=2 / 12)(x, SHAPE).unflatten(1, SHAPE)
    moved = torch.zeros(1, *SHAPE)
    moved[..., :-2] = x.unflatten(1, SHAPE)[..., 2:]
    torch.testing.assert_close(found, moved, atol=1e-5, rtol=0)


def test_a_quarter_turn_is_scipys(monkeypatch):
    x, draws = images(1), torch.full((6, 1), 0.5)
    draws[0] = 1.0
    monkeypatch.setattr(torch, "rand", lambda *size: draws)
    found = Deformation(rotation=90.0)(x, SHAPE).reshape(12, 12)
    turned = rotate(x.reshape(12, 12).numpy(), 90, order=1, reshape=False)
    np.testing.assert_allclose(found, turned, atol=1e-4)


# Labelled rows and their training


def labelled_rows(n=50):
    X = np.random.default_rng(0).random((n, 6), dtype=np.float32).round()
    r = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(K), size=n)).float()
    rows = Rows(X, torch.from_numpy)
    return LabelledRows(rows, r, torch.arange(n).float()), X, r


@pytest.mark.parametrize("index", [slice(3, 9), torch.tensor([7, 0, 7])])
def test_a_batch_of_labelled_rows_keeps_each_rows_label_and_disagreement(index):
    data, X, r = labelled_rows()
    batch = data[index]
    assert isinstance(batch, LabelledBatch)
    assert torch.equal(batch.x, torch.from_numpy(X)[index])
    assert torch.equal(batch.responsibilities, r[index])
    assert torch.equal(batch.disagreement, torch.arange(50).float()[index])
    assert len(batch) == len(batch.x)
    assert len(data) == 50


@pytest.mark.parametrize("early_stopping", [None, EarlyStopping(5, 0.2)])
def test_a_trainer_trains_on_labelled_rows_and_the_terms_are_named(early_stopping):
    data, _, _ = labelled_rows()
    model = small_model(Recogniser(6, K))
    trainer = Trainer(max_epochs=3, batch_size=16, precision="32", early_stopping=early_stopping)
    history = trainer.fit(model, PenalisedBound(2.0, 0.5), data)
    names = {"reconstruction", "conditional_prior", "class_prior", "distillation", "coupling"}
    assert names <= set(history.records[0])
    if early_stopping is None:
        # The mean of 0, ..., 49, whatever the batches.
        assert history["coupling"] == pytest.approx([0.5 * 24.5] * 3)
        assert history["distillation"][-1] < history["distillation"][0]
    else:
        assert "validation_loss" in history.records[0]


@pytest.mark.parametrize(
    ("settings", "n_rows", "expected"),
    [
        ({"max_epochs": 5}, 50, 5),
        ({"max_epochs": 5, "min_steps": 100, "batch_size": 10}, 50, 20),
        # 51 rows are six batches: 17 epochs give 102 steps, 16 only 96.
        ({"max_epochs": 5, "min_steps": 100, "batch_size": 10}, 51, 17),
        ({"max_epochs": 5, "min_steps": 100, "batch_size": 10}, 10_000, 5),
        ({"max_epochs": 5, "min_steps": 7, "batch_size": 128}, 1, 7),
    ],
)
def test_few_rows_get_as_many_epochs_as_the_least_number_of_steps_takes(settings, n_rows, expected):
    trainer = Trainer(**settings)
    assert trainer.epochs_for(n_rows) == expected
    steps = -(-n_rows // trainer.batch_size)
    assert expected * steps >= trainer.min_steps
    assert expected == trainer.max_epochs or (expected - 1) * steps < trainer.min_steps


def test_the_steps_are_counted_on_the_rows_that_are_trained_on():
    data, _, _ = labelled_rows()
    # 40 of 50 rows train: four batches of ten, six epochs for 24 steps.
    trainer = Trainer(
        max_epochs=2, min_steps=24, batch_size=10, early_stopping=EarlyStopping(50, 0.2)
    )
    assert len(trainer.fit(small_model(), PenalisedBound(), data).records) == 6
    trainer.early_stopping = None
    assert len(trainer.fit(small_model(), PenalisedBound(), data).records) == 5


def test_a_negative_number_of_steps_is_refused():
    with pytest.raises(ValueError, match="min_steps"):
        Trainer(min_steps=-1).validate()
