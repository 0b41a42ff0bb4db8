"""The background model: densities by quadrature, codes by construction, backgrounds by planting."""

import json
from copy import deepcopy
from math import log

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.distributions import Laplace
from torch.nn import functional as F

from sfumato import load
from sfumato.artifacts import ArtifactError
from sfumato.coupling import coupled_probability
from sfumato.data import DataError, moving_digits
from sfumato.distributions import ColourHistogram, MaxNormLaplace
from sfumato.models.background import DARKEST, Background, shadow_log_prob
from sfumato.video import BackgroundModel
from sfumato.video.candidates import Candidates, choose, find_candidates, stability
from sfumato.video.fitting import MIN_SCALE, fit_codes, noise_scale
from sfumato.video.sampling import neighbours, sample_indices, smoothed, to_model

SIZE = (48, 64)


def scene(size=SIZE):
    """Return a smooth picture, float of shape (h, w, 3)."""
    height, width = size
    red = np.broadcast_to(np.linspace(60, 120, width), size)
    green = np.broadcast_to(np.linspace(150, 90, height)[:, None], size)
    return np.stack([red, green, np.full(size, 140.0)], axis=2)


def filmed(frames, seed=0, noise=1.5):
    """Return frames as a camera with noise would give them."""
    noisy = frames + np.random.default_rng(seed).normal(0, noise, frames.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def as_frames(images):
    return torch.stack([smoothed(to_model(image, image.shape[:2])) for image in images])


def model_of(mean, basis=None, shadows=True, offsets=None, log_weights=None, scale=2.0):
    size = mean.shape[1:]
    return Background(
        mean,
        torch.zeros(0, *mean.shape) if basis is None else basis,
        torch.full(size, scale),
        torch.zeros(0, *mean.shape) if offsets is None else offsets,
        torch.zeros(1, *size) if log_weights is None else log_weights,
        ColourHistogram(),
        shadows,
    )


# Densities.


@pytest.mark.parametrize("scale", [0.7, 3.0])
def test_the_density_of_the_largest_difference_integrates_to_one_in_the_plane(scale):
    loc = torch.tensor([1.0, -2.0], dtype=torch.float64)
    steps = torch.linspace(-25 * scale, 25 * scale, 1501, dtype=torch.float64)
    plane = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1) + loc
    p = MaxNormLaplace(loc, torch.tensor(scale, dtype=torch.float64)).log_prob(plane).exp()
    # Sums over squares of a thirtieth of a scale: an error of the square of that.
    assert float(p.sum() * (steps[1] - steps[0]) ** 2) == pytest.approx(1.0, abs=1e-3)


def test_in_space_the_density_integrates_to_one_over_its_cubes():
    p = MaxNormLaplace(torch.zeros(3).double(), torch.tensor(1.7).double())

    def shell(r):
        # A cube of half side r has the volume 8 r^3, which grows by 24 r^2.
        point = torch.tensor([r, -r / 2, r / 3], dtype=torch.float64)
        return 24 * r**2 * float(p.log_prob(point).exp())

    assert quad(shell, 0, 100)[0] == pytest.approx(1.0, abs=1e-7)


def test_on_the_line_the_density_is_torchs_laplace():
    x = torch.linspace(-9, 9, 50)
    found = MaxNormLaplace(torch.full((1,), 0.5), torch.tensor(2.5)).log_prob(x[:, None])
    torch.testing.assert_close(found, Laplace(0.5, 2.5).log_prob(x))


def mass(histogram):
    return float(histogram.log_density.double().exp().sum()) * (256 / ColourHistogram.BINS) ** 3


def test_the_histogram_integrates_to_one_and_knows_its_colours():
    rng = np.random.default_rng(0)
    colours = torch.from_numpy(rng.uniform(0, 255, (500, 3)).astype(np.float32))
    colours[:400] = torch.tensor([255.0, 0.0, 128.0])
    weights = torch.from_numpy(rng.random(500))
    histogram = ColourHistogram.of(colours, weights)
    # 4096 bins in single precision.
    assert mass(histogram) == pytest.approx(1.0, abs=1e-4)
    density = histogram.log_prob(torch.tensor([[255.0, 0.0, 128.0], [128.0, 255.0, 0.0]]))
    # About four fifths in 2 x 2 x 3 bins of 4096, and a fifth in all.
    assert density[0] - density[1] > log(100)
    # No colour has less than a fifth of the uniform density.
    assert float(histogram.log_density.min()) >= log(0.2) - 3 * log(256) - 1e-5


@pytest.mark.parametrize("n", [0, 7])
def test_the_histogram_of_colours_without_weight_is_uniform(n):
    histogram = ColourHistogram.of(torch.full((n, 3), 9.0), torch.zeros(n))
    torch.testing.assert_close(histogram.log_density, torch.full((4096,), -3 * log(256)))
    assert mass(histogram) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("share", [0.7, 0.72, 0.85, 0.98, 1.0])
@pytest.mark.parametrize("scale", [1.5, 4.0])
def test_the_shadows_density_is_the_integral_over_the_share_of_light(share, scale):
    b = torch.tensor([120.0, 90.0, 200.0], dtype=torch.float64)
    tau = torch.tensor(scale, dtype=torch.float64)

    def density(alpha):
        return float(MaxNormLaplace(alpha * b, tau).log_prob(share * b).exp()) / (1 - DARKEST)

    exact = log(quad(density, DARKEST, 1, points=[share])[0])
    found = float(shadow_log_prob(share * b, MaxNormLaplace(b, tau)))
    # At an end of the interval half of the peak is cut off: log 2 nats, and nowhere more.
    assert found == pytest.approx(exact, abs=log(2) + 1e-6)
    if share == 0.85:
        assert found == pytest.approx(exact, abs=1e-3)


def test_what_is_darker_than_a_shadow_or_brighter_than_light_is_none():
    b = torch.tensor([120.0, 90.0, 200.0])
    shadow = [float(shadow_log_prob(a * b, MaxNormLaplace(b, torch.tensor(2.0)))) for a in (1, 0.3)]
    # 0.4 of 200 levels too dark, at 2 levels a nat.
    assert shadow[0] - shadow[1] == pytest.approx(40, abs=0.1)


# The model.


def test_without_further_modes_the_background_is_the_decoder():
    torch.manual_seed(0)
    mean, basis = torch.rand(3, 6, 7) * 200, torch.randn(2, 3, 6, 7) * 5
    weights = torch.full((1, 6, 7), log(0.8))
    model, x, z = (
        model_of(mean, basis, log_weights=weights),
        torch.rand(3, 6, 7) * 255,
        torch.ones(2),
    )
    background, shadow, foreground = model.log_likelihoods(x, z)
    pixels = x.movedim(0, -1)
    expected = Laplace(0.0, 2.0)
    difference = (pixels - (mean + basis.sum(0)).movedim(0, -1)).abs().amax(-1)
    # Of three channels 2^3 3! tau^3 where the line has 2 tau.
    by_hand = expected.log_prob(difference) - log(4 * 6 * 2.0**2) + log(0.8)
    torch.testing.assert_close(background, by_hand)
    torch.testing.assert_close(background, model.decoder(z).log_prob(pixels) + log(0.8))
    torch.testing.assert_close(shadow, shadow_log_prob(pixels, model.decoder(z)))
    torch.testing.assert_close(foreground, torch.full((6, 7), -3 * log(256)))


def test_further_modes_are_the_terms_of_a_mixture():
    torch.manual_seed(0)
    mean, offsets = torch.rand(3, 4, 5) * 200, torch.randn(2, 3, 4, 5) * 40
    log_weights = torch.log_softmax(torch.randn(3, 4, 5), 0)
    model = model_of(mean, offsets=offsets, log_weights=log_weights, shadows=False)
    x = mean + offsets[1]
    likelihoods = model.log_likelihoods(x, torch.zeros(0))
    places = [mean, mean + offsets[0], mean + offsets[1]]
    tau = torch.full((4, 5), 2.0)
    terms = [MaxNormLaplace(p.movedim(0, -1), tau).log_prob(x.movedim(0, -1)).exp() for p in places]
    expected = sum(w.exp() * term for w, term in zip(log_weights, terms, strict=True))
    torch.testing.assert_close(likelihoods[0], expected.log())
    assert (likelihoods[1] == -torch.inf).all()


@pytest.mark.parametrize("covered", [False, True])
def test_the_encoder_recovers_the_code_also_behind_a_foreground(covered):
    torch.manual_seed(0)
    height, width = 48, 80
    mean = torch.from_numpy(scene((height, width))).float().movedim(2, 0)
    waves = torch.linspace(0, 6, width).sin().expand(3, height, width)
    basis = torch.stack([torch.full_like(mean, 12.0), 8 * waves])
    z = torch.tensor([0.8, -1.1])
    x = mean + torch.tensordot(z, basis, 1)
    if covered:
        # 24 x 32 of 48 x 80 pixels are a fifth of the frame.
        x[:, 12:36, 8:40] = torch.tensor([250.0, 20.0, 20.0])[:, None, None]
    posterior = model_of(mean, basis).encoder(x)
    torch.testing.assert_close(posterior.mean, z, atol=1e-2, rtol=0)
    # Some 170 cells and more that know the code: far more precise than the prior.
    assert torch.linalg.eigvalsh(posterior.precision).min() > 100


def test_a_model_without_a_code_has_an_empty_one():
    posterior = model_of(torch.zeros(3, 5, 6)).encoder(torch.zeros(3, 5, 6))
    assert posterior.mean.shape == (0,)


# Which colour is the background.


def one_colour(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, *SIZE).contiguous()


def test_candidates_are_the_colours_that_are_shown_and_who_shows_them():
    levels = [10.0, 200.0, 10.0, 90.0, 200.0, 10.0]
    candidates = find_candidates(one_colour(*levels))
    shown = candidates.colours[:, 0, 0, 0][candidates.shown[:, 0, 0].long()]
    torch.testing.assert_close(shown, torch.tensor(levels))
    shares = candidates.total(torch.ones(candidates.shown.shape))[:, 3, 4]
    assert sorted(shares.tolist()) == [0, 0, 0, 1, 2, 3]


def test_a_mode_shown_steadily_wins_over_one_shown_more_often_but_unsteadily():
    # Nine frames of one colour amid movement, five of another at rest.
    candidates = Candidates(
        one_colour(200.0, 50.0), torch.tensor([0] * 9 + [1] * 5)[:, None, None].expand(-1, *SIZE)
    )
    motion = torch.tensor([40.0] * 9 + [1.0] * 5)[:, None, None].expand(-1, *SIZE)
    steady = choose(candidates, stability(motion))
    unweighted = choose(candidates, torch.ones(14, *SIZE))
    assert (steady.argmax(0) == 1).all()
    assert (unweighted.argmax(0) == 0).all()
    torch.testing.assert_close(steady.sum(0), torch.ones(SIZE))


def leaf(seed, share):
    """Return frames before which a textured square waves in that share of them, and their scene."""
    rng = np.random.default_rng(seed)
    low, high = (0, 120, 0), (60, 220, 40)
    texture = rng.uniform(low, high, (2, 2, 3)).repeat(8, axis=0).repeat(8, axis=1)
    frames = np.repeat(scene()[None], 80, axis=0)
    for t in range(80):
        if t % 10 < 10 * share:
            dy, dx = rng.integers(-3, 4, 2)
            frames[t, 16 + dy : 32 + dy, 20 + dx : 36 + dx] = texture
    return filmed(frames, seed), scene()


@pytest.mark.parametrize("share", [0.6, 0.7])
def test_leaves_that_cover_a_pixel_most_of_the_time_are_not_the_background(share):
    frames, truth = leaf(0, share)
    background = BackgroundModel().fit(frames).background_
    candidates = find_candidates(as_frames(frames))
    usual = candidates.pick(candidates.total(torch.ones(candidates.shown.shape)))
    # 15 levels are ten deviations of the noise.
    assert (np.abs(background - truth) < 15).all()
    # Counting alone takes the leaf at 36 pixels or more, and the temporal median at most of 256.
    assert (np.abs(usual.movedim(0, -1).numpy() - truth).max(axis=2) > 15).sum() > 20
    assert (np.abs(np.median(frames, axis=0) - truth).max(axis=2) > 15).sum() > 100


# Codes and noise.


def test_a_still_camera_needs_no_code():
    frames = as_frames(filmed(np.repeat(scene()[None], 30, axis=0)))
    codes, noises = fit_codes(frames, frames.median(0).values, 3)
    assert codes.shape == (30, 0)
    assert len(noises) == 4


def test_flickering_light_is_a_code_of_its_own():
    light = 1 + 0.1 * np.sin(np.arange(120))
    frames = as_frames(filmed(light[:, None, None, None] * scene(), noise=3.0))
    codes, noises = fit_codes(frames, frames.median(0).values, 3)
    assert codes.shape[1] == 1
    # A tenth of some 110 levels moves with the light; what is left is the noise of means of 16
    # pixels and what the basis is shrunk by.
    assert abs(np.corrcoef(codes[:, 0], light)[0, 1]) > 0.99
    assert noises[1] < 0.2 * noises[0]


def test_no_more_numbers_are_used_than_allowed():
    light = 1 + 0.1 * np.sin(np.arange(20))
    frames = filmed(light[:, None, None, None] * scene())
    assert BackgroundModel(max_rank=0).fit(frames).model_.rank == 0


def test_the_noise_is_not_that_of_a_foreground_in_a_minority_of_frames():
    torch.manual_seed(0)
    quiet = torch.rand(40, 30, 40) * 2
    busy = quiet.clone()
    busy[::4, 8:22, 10:30] = 120.0
    clean, found = noise_scale(quiet), noise_scale(busy)
    # Evenly drawn up to 2 levels, whose mean is 1; of 25 pixels the largest.
    assert clean.mean() == pytest.approx(MIN_SCALE + 1, abs=0.25)
    # A weight of 1e-3 at 120 levels in a third as many frames adds 0.04; that the mean is over a
    # quarter fewer frames moves it by 0.15. All frames alike would have added 30.
    assert (found - clean).abs().max() < 0.25


# What a fitted model promises.


@pytest.fixture(scope="module")
def digits():
    return moving_digits(60, size=SIZE)[0]


@pytest.fixture(scope="module")
def fitted(digits):
    return BackgroundModel().fit(digits)


def test_the_same_video_gives_the_same_model_bit_for_bit(digits, fitted):
    again = BackgroundModel().fit(digits)
    assert fitted.model_.state_dict().keys() == again.model_.state_dict().keys()
    for name, tensor in fitted.model_.state_dict().items():
        assert torch.equal(tensor, again.model_.state_dict()[name]), name


def test_a_frames_mask_does_not_depend_on_the_other_frames(digits, fitted):
    together = fitted.predict(digits)
    for k in (0, 31, 59):
        np.testing.assert_array_equal(fitted.predict(digits[k : k + 1])[0], together[k])
    np.testing.assert_array_equal(fitted.predict(digits[::-1]), together[::-1])


def test_saved_and_loaded_a_model_predicts_the_same(digits, fitted, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.bounds_ == fitted.bounds_
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.predict_proba(digits), fitted.predict_proba(digits))
    np.testing.assert_array_equal(loaded.background_, fitted.background_)


def test_the_librarys_one_load_knows_background_models(digits, fitted, tmp_path):
    fitted.save(tmp_path)
    loaded = load(tmp_path)
    assert type(loaded) is BackgroundModel
    np.testing.assert_array_equal(loaded.predict(digits[:3]), fitted.predict(digits[:3]))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="is not a run"):
        load(tmp_path)


def test_a_folder_whose_description_lacks_something_is_refused_in_one_sentence(fitted, tmp_path):
    fitted.save(tmp_path)
    description = json.loads((tmp_path / "params.json").read_text())
    del description["size"]
    (tmp_path / "params.json").write_text(json.dumps(description))
    with pytest.raises(ArtifactError, match="is damaged"):
        load(tmp_path)


def test_the_backgrounds_of_the_codes_show_the_light_of_their_frames(digits, fitted):
    codes = fitted.transform(digits)
    assert codes.shape == (60, fitted.model_.rank)
    assert fitted.model_.rank >= 1
    background = fitted.background(digits)
    np.testing.assert_array_equal(background, fitted.inverse_transform(codes))
    # The first 20 frames show no digit. The model is smoothed and so are they; a sensor's noise of
    # deviation 3 is 1.1 after smoothing, 0.9 on average, and a code may lag by a share of a level.
    for image, expected in zip(background[:20], digits[:20], strict=True):
        smooth = smoothed(to_model(expected, SIZE)).movedim(0, -1).numpy()
        assert np.abs(image - smooth).mean() < 2
    # The light drifts by up to a twentieth of some 150 levels: one background misses more.
    assert np.abs(fitted.background_ - smooth).mean() > np.abs(image - smooth).mean()


def test_the_terms_are_finite_and_a_frame_of_noise_is_less_likely_than_one_of_the_video(
    digits, fitted
):
    terms = fitted.terms(digits[:5])
    assert set(terms) == {"pixels", "code"}
    total = sum(terms.values())
    assert total.shape == (5,)
    assert np.isfinite(total).all()
    scores = fitted.score_samples(digits[:5])
    np.testing.assert_allclose(scores, -total)
    noise = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    # Some nats at each of 3072 pixels.
    assert fitted.score_samples(noise)[0] < scores.min() - len(noise[0].reshape(-1, 3))


@pytest.mark.parametrize("kind", ["flicker", "still"])
def test_the_bound_rises_while_fitting(kind):
    frames = moving_digits(60, size=SIZE)[0].astype(float)
    if kind == "flicker":
        frames *= 1 + 0.1 * np.sin(np.arange(60))[:, None, None, None]
    bounds = BackgroundModel().fit(filmed(frames)).bounds_
    assert list(bounds) == ["first", "codes", "modes", "colours"]
    steps = np.diff(list(bounds.values()))
    # Modes that a pixel does not need cost it some thousandths of a nat.
    assert (steps > -0.01).all()
    assert bounds["colours"] > bounds["first"] + (0.3 if kind == "flicker" else 0.05)


def test_the_code_of_a_term_is_its_normal_density(digits, fitted):
    codes = torch.from_numpy(fitted.transform(digits[:3]))
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(codes).sum(1)
    np.testing.assert_allclose(fitted.terms(digits[:3])["code"], -normal, rtol=1e-5)


def test_without_coupling_the_pixels_term_is_the_evidence_of_every_pixel_alone(digits, fitted):
    alone = deepcopy(fitted).set_params(coupling=0.0)
    x = smoothed(to_model(digits[40], SIZE))
    z = alone.code(x)
    behind, before = alone.model_.log_evidence(x, z)
    prior = torch.tensor(1.5)
    expected = torch.logaddexp(behind + F.logsigmoid(-prior), before + F.logsigmoid(prior)).sum()
    found = -alone.terms(digits[40:41])["pixels"][0]
    # Where the evidence stays below 10 nats the labels are exact; beyond it is taken as 10, which
    # costs exp(-10) of what is beyond at each of 3072 pixels: 7 nats where it is 50. The half is
    # the rounding of a sum of some ten thousand.
    assert found <= float(expected) + 0.5
    assert found == pytest.approx(float(expected), abs=10)


def test_a_pixel_is_as_much_foreground_as_both_it_and_the_mean_around_it_are(digits, fitted):
    alone = deepcopy(fitted).set_params(coupling=0.0)
    sharp = to_model(digits[40], SIZE)
    z = alone.code(smoothed(sharp))
    odds = torch.minimum(*(alone.model_.log_odds(x, z) for x in (sharp, smoothed(sharp))))
    expected = coupled_probability(odds.clamp(-10, 10), 0.0, 3)
    torch.testing.assert_close(alone.probability(sharp), expected)


def test_frames_of_another_size_are_refused_and_both_sizes_named(fitted):
    with pytest.raises(DataError, match="40 x 30 pixels where the model was fitted to 64 x 48"):
        fitted.predict(np.zeros((2, 30, 40), np.uint8))


def test_large_frames_are_modelled_small_and_masked_at_their_own_size():
    frames = moving_digits(30, size=SIZE)[0]
    model = BackgroundModel(max_pixels=800).fit(frames)
    height, width = model.model_size_
    assert height * width <= 810
    assert model.predict(frames).shape == (30, *SIZE)
    assert model.background_.shape == (*SIZE, 3)


# Which frames a model is fitted to.


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 119, 120, 121, 5000])
def test_the_sample_is_spread_from_the_first_to_the_last_frame(n):
    indices = sample_indices(n)
    assert (indices[0], indices[-1], len(indices)) == (0, n - 1, min(n, 120))
    for i in map(int, indices):
        assert all(0 <= j < n for j in neighbours(i, n))
        if n > 1:
            assert i not in neighbours(i, n)


@pytest.mark.parametrize(("n", "changed"), [(2, 1), (3, 2), (3, 0), (4, 1)])
def test_what_one_of_a_few_frames_shows_is_not_the_background(n, changed):
    images = np.repeat(scene()[None], n, axis=0)
    images[changed, 10:30, 20:40] = (220, 30, 30)
    masks = BackgroundModel().fit(filmed(images)).predict(filmed(images))
    areas = masks.sum(axis=(1, 2))
    if n == 2:
        # One of two: time cannot tell, and the outline does.
        assert areas[1 - changed] == 0
    assert areas[changed] > 350
    assert (np.delete(areas, changed) < 20).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 4), (8, 8)])
def test_frames_of_a_few_pixels_are_no_error(size):
    frames = np.random.default_rng(0).integers(0, 256, (6, *size, 3), dtype=np.uint8)
    assert BackgroundModel().fit(frames).predict(frames).shape == (6, *size)


def test_the_models_image_is_smoothed_by_one_two_one():
    image = np.zeros((5, 6, 3), np.uint8)
    image[2, 3] = 160
    expected = np.outer([1, 2, 1], [1, 2, 1]) * 10.0
    np.testing.assert_allclose(smoothed(to_model(image, (5, 6)))[0, 1:4, 2:5], expected)
    # At an edge the last row is repeated: a constant stays constant.
    flat = np.full((3, 1, 3), 77, np.uint8)
    torch.testing.assert_close(smoothed(to_model(flat, (3, 1))), torch.full((3, 3, 1), 77.0))
