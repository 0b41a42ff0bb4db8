"""Restorers: their parts against direct computation, what they learn, and what they leave alone."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, gaussian_filter
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch.nn import functional as F

from sfumato import Colorizer, Denoiser, Inpainter, Optimizer, Trainer, Upscaler, load
from sfumato.artifacts import ArtifactError
from sfumato.data import DataError, Photograph, shipped_photographs, write_image
from sfumato.metrics import psnr
from sfumato.models import CoupledAutoencoder, shrink
from sfumato.nn import UNet
from sfumato.restoration import RESTORERS, estimate_noise, patches, tiles
from sfumato.restoration.colorizing import ColorizationModel, colorization_error
from sfumato.restoration.colours import to_colours, to_opponent
from sfumato.restoration.denoising import DenoisingModel, denoising_error
from sfumato.restoration.inpainting import InpaintingModel, inpainting_error, random_holes
from sfumato.restoration.patches import Patches
from sfumato.restoration.tiles import by_tiles
from sfumato.restoration.upscaling import autoencoding_errors, mapping_error, upscaling_error

CHINA, FLOWER = shipped_photographs()
# Roofs and leaves; nothing left of column 480 of the first photograph shows them.
HELD_OUT = CHINA[256:384, 512:640]
TRAINING = [CHINA[:, :480], FLOWER]
SMALL = [picture[200:264, 250:330] for picture in (CHINA, FLOWER)]
NET = {"widths": (4, 8), "n_blocks": 1, "patch_size": 16}
SETTINGS = {
    Denoiser: NET,
    Inpainter: NET,
    Upscaler: {"factor": 2, "width": 4, "n_blocks": 1, "patch_size": 8},
    Colorizer: NET,
}
EVERY = pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)


@pytest.fixture(autouse=True, scope="module")
def short_epochs():
    """Make an epoch of 20 steps, a tenth of what it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Patches.__init__, "__defaults__", (20,))
        yield


@pytest.fixture(autouse=True)
def same_draws():
    """Let what is drawn from the global generator be the same in every run."""
    torch.manual_seed(0)


def quick(cls, max_epochs=1, *, random_state=0, loggers=(), checkpoint=None, **settings):
    trainer = Trainer(
        max_epochs,
        batch_size=2,
        optimizer=Optimizer(averaging=0.9),
        schedule="cosine",
        loggers=loggers,
        checkpoint=None if checkpoint is None else str(checkpoint),
    )
    return cls(**{**SETTINGS[cls], **settings}, random_state=random_state, trainer=trainer)


def learning(max_epochs, rate=5e-3, batch_size=4):
    return Trainer(
        max_epochs,
        batch_size=batch_size,
        learning_rate=rate,
        optimizer=Optimizer(averaging=0.98),
        schedule="cosine",
    )


def grey(picture):
    return np.rint(picture.mean(axis=2)).astype(np.uint8)


def scattered(size, share=0.5, seed=0):
    return np.random.default_rng(seed).random(size) < share


def restored(restorer, image):
    """Return what a restorer makes of a picture, whatever it has to be told beside it."""
    size = image.size if isinstance(image, Photograph) else np.shape(image)[:2]
    told = {Denoiser: {"sigma": 20}, Inpainter: {"missing": scattered(size)}}
    return restorer.restore(image, **told.get(type(restorer), {}))


@pytest.fixture(scope="module")
def fitted():
    """Return a restorer of each class that has seen little."""
    return {cls: quick(cls).fit(SMALL) for cls in SETTINGS}


def weights(restorer):
    return restorer.model_.state_dict()


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


# Colours.


def test_the_change_of_colours_is_orthogonal_up_to_a_third():
    m = to_opponent(torch.eye(3).reshape(3, 3, 1, 1))[..., 0, 0].T
    torch.testing.assert_close(m @ m.T, torch.eye(3) / 3, rtol=0, atol=1e-7)


def test_colours_are_undone():
    x = torch.rand(2, 3, 5, 4)
    torch.testing.assert_close(to_colours(to_opponent(x)), x, rtol=0, atol=1e-6)
    torch.testing.assert_close(to_opponent(to_colours(x)), x, rtol=0, atol=1e-6)


def test_luminance_is_the_mean_of_the_colours_and_grey_has_no_colour_differences():
    x = torch.rand(3, 5, 4)
    torch.testing.assert_close(to_opponent(x)[0], x.mean(0), rtol=0, atol=1e-6)
    flat = torch.rand(1, 5, 4)
    assert to_opponent(flat) is flat
    assert to_colours(flat) is flat
    assert to_opponent(flat.expand(3, 5, 4))[1:].abs().max() < 1e-7


def test_white_noise_of_the_colours_is_white_noise_of_a_third_of_its_variance():
    noise = torch.randn(3, 400, 500, generator=torch.Generator().manual_seed(0))
    covariance = to_opponent(0.2 * noise).flatten(1).cov()
    # 200 000 draws: a share of 1.5 % is five standard errors.
    expected = torch.eye(3) * 0.2**2 / 3
    torch.testing.assert_close(covariance, expected, rtol=0, atol=0.015 * 0.2**2 / 3)


# Tiles.

KERNEL = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
SIZES = [(1, 1), (1, 40), (2, 3), (16, 16), (17, 33), (50, 31), (64, 48)]


def convolution(x, scale=1):
    """Correlate with the kernel, as a network would: with zeros around what it sees."""
    assert all(side % 8 == 0 for side in x.shape[2:])
    made = F.conv2d(x, torch.from_numpy(KERNEL)[None, None], padding=2)
    return made if scale == 1 else F.interpolate(made, scale_factor=float(scale), mode="nearest")


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("tile", [16, 32, 512])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_by_tiles_a_convolution_is_that_of_the_picture_continued_by_reflection(
    monkeypatch, size, tile, scale
):
    monkeypatch.setattr(tiles, "TILE", tile)
    picture = np.random.default_rng(1).random(size, dtype=np.float32)
    found = by_tiles(
        partial(convolution, scale=scale), torch.from_numpy(picture)[None], scale=scale
    )
    # scipy's "reflect" repeats the pixel at the edge, and a correlation is a turned convolution.
    expected = np.kron(
        convolve(picture, KERNEL[::-1, ::-1], mode="reflect"), np.ones((scale, scale))
    )
    assert found.shape == (1, scale * size[0], scale * size[1])
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_a_network_sees_no_more_than_a_tile_and_its_surroundings_of_a_4k_picture():
    seen = []

    def network(x):
        seen.append(x.shape)
        return x[:, :1]

    picture = torch.rand(2, 2160, 3840)
    torch.testing.assert_close(by_tiles(network, picture), picture[:1], rtol=0, atol=0)
    assert max(max(shape[2:]) for shape in seen) == tiles.TILE + 2 * tiles.CONTEXT_MULTIPLES * 8
    assert len(seen) == 5 * 8


def test_a_network_that_reaches_no_further_than_the_surroundings_does_not_see_the_tiles(
    monkeypatch,
):
    # Two scales and one block a scale: some 24 pixels. Only the order of summation differs.
    assert reached(monkeypatch, UNet, 1, 1, (4, 8), 1) < 1e-5


def test_a_network_that_reaches_further_sees_the_tiles_by_little(monkeypatch):
    # Three scales, two blocks: some 80 pixels, of which those beyond 32 weigh little: 0.002 when
    # this is written, of a network as it begins.
    assert 1e-5 < reached(monkeypatch, UNet, 1, 1, (8, 16, 32), 2) < 0.005


def reached(monkeypatch, network, *settings):
    """Return the largest difference that tiles of 32 make, in deviations of the answer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network(*settings)
        picture = torch.rand(1, 150, 170)
    whole = by_tiles(network, picture)
    monkeypatch.setattr(tiles, "TILE", 32)
    return float((by_tiles(network, picture) - whole).abs().max() / whole.std())


# Patches.


def eight(patch):
    """Return a patch turned and mirrored in all ways."""
    turned = [np.rot90(patch, turns) for turns in range(4)]
    return turned + [np.flipud(one) for one in turned]


def pixels_of(batch):
    """Return patches as uint8 of shape (n, h, w, c)."""
    whole = (255 * batch).round()
    torch.testing.assert_close(255 * batch, whole, rtol=0, atol=1e-4)
    return whole.movedim(1, -1).to(torch.uint8).numpy()


def test_every_patch_is_a_turned_or_mirrored_cut_and_all_eight_ways_occur():
    # Every pixel has a value of its own, so that a patch tells where it is from.
    values = np.arange(12 * 14, dtype=np.uint8).reshape(12, 14)
    picture = np.stack([values, 255 - values, values // 2], axis=2)
    ways, places = set(), set()
    for batch in Patches([picture], 5, batch_size=20, n_steps=25):
        assert (batch.shape, batch.dtype) == ((20, 3, 5, 5), torch.float32)
        for patch in pixels_of(batch):
            for way, upright in enumerate(eight(patch)):
                top, left = divmod(int(upright[0, 0, 0]), 14)
                if np.array_equal(upright, picture[top : top + 5, left : left + 5]):
                    ways.add(way)
                    places.add((top, left))
                    break
            else:
                pytest.fail("a patch is no cut of the picture")
    assert len(ways) == 8
    # 500 patches at 8 x 10 places: one is missed with a probability of 80 exp(-500 / 80) = 0.15.
    assert len(places) >= 77
    assert {top for top, _ in places} == set(range(8))
    assert {left for _, left in places} == set(range(10))


def test_the_seed_decides_the_patches_and_every_pass_has_others():
    def passes(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            cut = Patches(SMALL, 16, batch_size=3, n_steps=2)
            return [torch.stack(list(cut)) for _ in range(2)]

    first, second = passes(0)
    again = passes(0)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, passes(1)[0])


@pytest.mark.parametrize("size", [(1, 1), (3, 20), (8, 2)], ids=str)
def test_pictures_smaller_than_a_patch_are_continued_by_reflection(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 1), dtype=np.uint8)
    mirrored = np.pad(picture, [(0, 24), (0, 24), (0, 0)], mode="symmetric")
    cuts = [mirrored[:8, left : left + 8] for left in range(max(1, size[1] - 7))]
    for batch in Patches([picture], 8, batch_size=10, n_steps=2):
        for patch in pixels_of(batch):
            assert any(np.array_equal(way, cut) for way in eight(patch) for cut in cuts)


def test_of_photographs_that_are_too_large_together_the_middles_are_kept(monkeypatch):
    monkeypatch.setattr(patches, "MAX_PIXELS", 3000)
    pictures = [np.zeros((60, 80, 3), np.uint8), np.zeros((90, 80, 3), np.uint8)]
    for picture in pictures:
        # A quarter of the area is half of a side.
        picture[len(picture) // 4 : -(len(picture) // 4), 20:60] = 255
    kept = Patches(pictures, 8, 2)._images
    assert [image.shape for image in kept] == [(30, 40, 3), (45, 40, 3)]
    assert all((image == 255).all() for image in kept)
    # Views would keep the whole pictures in memory.
    assert all(image.base is None or image.base.size == image.size for image in kept)


def test_pictures_are_drawn_by_their_area():
    dark, light = np.zeros((20, 20, 1), np.uint8), np.full((40, 40, 1), 255, np.uint8)
    drawn = torch.cat([batch[:, 0, 0, 0] for batch in Patches([dark, light], 8, 20, n_steps=100)])
    # 13^2 places of 13^2 + 33^2; 2000 draws have a standard error of 0.008.
    assert drawn.mean().item() == pytest.approx(33**2 / (13**2 + 33**2), abs=0.035)


# The noise level.


@pytest.mark.parametrize("sigma", [10, 25, 50])
@pytest.mark.parametrize("channels", ["colour", "grey"])
def test_the_noise_of_a_photograph_is_estimated_within_a_tenth(sigma, channels):
    clean = FLOWER / 255 if channels == "colour" else grey(FLOWER)[..., None] / 255
    noisy = clean + np.random.default_rng(0).normal(0, sigma / 255, clean.shape)
    found = 255 * estimate_noise(torch.from_numpy(noisy).movedim(-1, 0))
    assert found == pytest.approx(sigma, rel=0.1)


def test_constants_and_slopes_have_no_noise():
    assert estimate_noise(torch.full((3, 20, 30), 0.3)) == 0
    slope = torch.linspace(0, 1, 30).expand(1, 20, 30) + torch.linspace(0, 1, 20)[:, None]
    assert estimate_noise(slope) < 1e-7


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (50, 2)], ids=str)
def test_of_less_than_three_pixels_a_side_no_noise_is_told(size):
    assert estimate_noise(torch.rand(3, *size)) == 0


# Objectives.


def patch_batch(n=3, channels=3):
    return torch.rand(n, channels, 16, 16, generator=torch.Generator().manual_seed(5))


def seeded(function, *arguments, **options):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return function(*arguments, **options)


def noisy_by_hand(x, max_sigma):
    noise = torch.rand(len(x), 1, 1, 1) * max_sigma
    seen = x + noise * torch.randn(x.shape)
    for i, clipped in enumerate((torch.rand(len(x), 1, 1, 1) < 0.5).flatten()):
        if clipped:
            seen[i] = seen[i].clamp(0, 1)
    return seen, noise


def test_denoising_errors_are_those_of_patches_with_noise_of_uniform_levels():
    model, x = DenoisingModel(3, (4, 8), 1), patch_batch(6)
    terms = seeded(denoising_error, model, x, max_sigma=0.2)

    def by_hand():
        clean = to_opponent(x)
        seen, sigma = noisy_by_hand(clean[:, :1], 0.2)
        level = sigma.expand(-1, 1, 16, 16)
        luminance = seen - model.luminance(torch.cat([seen, level], 1))
        seen, sigma = noisy_by_hand(x, 0.2)
        # White noise of the colours is smaller by sqrt(3) in luminance and colour differences.
        opponent, level = to_opponent(seen), (sigma / 3**0.5).expand(-1, 1, 16, 16)
        guide = opponent[:, :1] - model.luminance(torch.cat([opponent[:, :1], level], 1))
        seen = torch.cat([opponent[:, 1:], guide, level], 1)
        chroma = opponent[:, 1:] - model.chroma(seen)
        return {
            "luminance": ((luminance - clean[:, :1]) ** 2).sum((1, 2, 3)),
            "chroma": ((chroma - clean[:, 1:]) ** 2).sum((1, 2, 3)),
        }

    for name, expected in seeded(by_hand).items():
        assert terms[name].shape == (6,)
        torch.testing.assert_close(terms[name], expected)
    assert terms.keys() == {"luminance", "chroma"}
    alone = denoising_error(DenoisingModel(1, (4, 8), 1), patch_batch(channels=1), max_sigma=0.2)
    assert {name: term.shape for name, term in alone.items()} == {"luminance": (3,)}


def test_inpainting_errors_count_the_missing_pixels_alone():
    model, x = InpaintingModel(3, (4, 8), 1), patch_batch(6)
    terms = seeded(inpainting_error, model, x)
    missing = seeded(random_holes, 6, 16, 16)
    whole = to_opponent(x)
    known = whole * (1 - missing)
    luminance = model.luminance(torch.cat([known[:, :1], missing], 1))
    filled = torch.where(missing > 0, luminance, whole[:, :1])
    chroma = model.chroma(torch.cat([known[:, 1:], missing, filled], 1))
    errors = (missing * (torch.cat([luminance, chroma], 1) - whole)) ** 2
    torch.testing.assert_close(terms["luminance"], errors[:, :1].sum((1, 2, 3)))
    torch.testing.assert_close(terms["chroma"], errors[:, 1:].sum((1, 2, 3)))


@pytest.mark.parametrize(
    ("model", "objective"),
    [
        (DenoisingModel, partial(denoising_error, max_sigma=0.2)),
        (InpaintingModel, inpainting_error),
    ],
)
def test_luminance_and_chroma_are_learned_each_by_its_own_network(model, objective):
    networks = model(3, (4, 8), 1)
    for name, other in (("luminance", "chroma"), ("chroma", "luminance")):
        networks.zero_grad()
        objective(networks, patch_batch())[name].sum().backward()
        assert all(p.grad is not None for p in getattr(networks, name).parameters())
        assert all(p.grad is None for p in getattr(networks, other).parameters())


def test_the_map_is_learned_from_codes_that_rest():
    model = CoupledAutoencoder(2, 4, 1)
    mapping_error(model.map, patch_batch(channels=1), model=model)["codes"].sum().backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"map"}


def test_colorization_errors_are_those_of_the_colour_differences_given_the_luminance():
    model, x = ColorizationModel((4, 8), 1), patch_batch()
    whole = to_opponent(x)
    expected = ((model.chroma(x.mean(1, keepdim=True)) - whole[:, 1:]) ** 2).sum((1, 2, 3))
    torch.testing.assert_close(colorization_error(model, x)["chroma"], expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_upscaling_errors_are_those_of_the_picture_from_its_small_version(factor):
    torch.manual_seed(0)
    model = CoupledAutoencoder(factor, 4, 1)
    x = torch.rand(2, 1, 4 * factor, 5 * factor)
    small = shrink(x, factor)
    assert small.shape == (2, 1, 4, 5)
    detail = x - model.interpolate(small)
    codes, target = model.low_encoder(small), model.high_encoder(detail)
    assert codes.shape == target.shape == (2, 4, 4, 5)
    expected = {
        "low": model.low_decoder(codes) - small,
        "high": model.high_decoder(target) - detail,
        "codes": model.map(codes) - target,
        "upscaling": model.interpolate(small) + model.high_decoder(model.map(codes)) - x,
    }
    found = autoencoding_errors(model, x) | upscaling_error(model, x)
    found |= mapping_error(model.map, x, model=model)
    assert found.keys() == expected.keys()
    for name, error in expected.items():
        torch.testing.assert_close(found[name], (error**2).sum((1, 2, 3)))


def test_objectives_make_what_they_need_on_the_device_of_the_patches():
    # The meta device computes nothing and refuses to be mixed with another.
    x = torch.zeros(2, 3, 16, 16, device="meta")
    for model, objective in (
        (DenoisingModel(3, (4, 8), 1), partial(denoising_error, max_sigma=0.2)),
        (InpaintingModel(3, (4, 8), 1), inpainting_error),
        (ColorizationModel((4, 8), 1), colorization_error),
    ):
        assert all(term.is_meta for term in objective(model.to("meta"), x).values())
    coupled = CoupledAutoencoder(2, 4, 1).to("meta")
    for objective in (autoencoding_errors, upscaling_error):
        assert all(term.is_meta for term in objective(coupled, x[:, :1]).values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@EVERY
def test_what_was_trained_on_a_gpu_restores_there_and_after_loading_here(cls, tmp_path):
    on_gpu = quick(cls).fit(SMALL)
    assert next(on_gpu.model_.parameters()).is_cuda
    found = restored(on_gpu, SMALL[0] / 255)
    on_gpu.save(tmp_path)
    # Convolutions of a GPU are of TF32: some ten bits.
    np.testing.assert_allclose(restored(load(tmp_path), SMALL[0] / 255), found, atol=0.01)


# What all restorers do.


@EVERY
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(cls, fitted):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = quick(cls).fit(SMALL)
    assert same_weights(weights(again), weights(fitted[cls]))
    assert again.history_["loss"] == fitted[cls].history_["loss"]
    np.testing.assert_array_equal(restored(again, SMALL[0]), restored(fitted[cls], SMALL[0]))
    assert torch.equal(torch.get_rng_state(), before)
    other = quick(cls, random_state=1).fit(SMALL)
    assert not same_weights(weights(other), weights(fitted[cls]))


@EVERY
def test_a_picture_is_restored_whatever_was_restored_before_and_however_it_lies_in_memory(
    cls, fitted
):
    picture = SMALL[0] / np.float32(255)
    first = restored(fitted[cls], picture)
    restored(fitted[cls], SMALL[1])
    mirrored = np.ascontiguousarray(picture[::-1, ::-1])
    for same in (picture, np.asfortranarray(picture), mirrored[::-1, ::-1]):
        np.testing.assert_array_equal(restored(fitted[cls], same), first)


@EVERY
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 3), (17, 23), (40, 33)], ids=str)
def test_pictures_of_any_size_are_restored(cls, fitted, size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    options = {"missing": np.zeros(size)} if cls is Inpainter else {}
    found = fitted[cls].restore(picture, **options)
    scale = 2 if cls is Upscaler else 1
    assert (found.shape, found.dtype) == ((scale * size[0], scale * size[1], 3), np.uint8)


@EVERY
@pytest.mark.parametrize("kind", ["u1", "u2", ">u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape", ["hw", "hw1", "hw3"])
def test_the_type_that_is_given_comes_back(cls, fitted, kind, shape):
    picture = {"hw": grey(SMALL[0]), "hw1": grey(SMALL[0])[..., None], "hw3": SMALL[0]}[shape]
    largest = np.iinfo(kind).max if np.dtype(kind).kind == "u" else 1
    picture = (picture / 255 * largest).astype(kind)
    before = picture.copy()
    found = restored(fitted[cls], picture)
    sides = (128, 160) if cls is Upscaler else (64, 80)
    channels = {"hw": (), "hw1": (1,), "hw3": (3,)}[shape]
    assert found.shape == sides + ((3,) if cls is Colorizer else channels)
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(picture, before)
    # The same answer in every type: that of float32, rounded; half floats have 11 bits.
    values = restored(fitted[cls], (picture / largest).astype(np.float32))
    tolerance = {"u1": 0.51 / 255, "u2": 1e-5, ">u2": 1e-5, "f2": 1e-3, "f4": 0, "f8": 1e-6}[kind]
    np.testing.assert_allclose(found / largest, values, atol=tolerance)
    assert found.min() >= 0
    assert found.max() <= largest


@EVERY
def test_photographs_keep_what_their_files_say(cls, fitted):
    alpha = np.full((64, 80), 128, np.uint8)
    coloured = Photograph(SMALL[0] / np.float32(255), alpha, profile=b"of colours")
    deep = Photograph(grey(SMALL[0])[..., None] / np.float32(255), depth=16, profile=b"of grey")
    sides = (128, 160) if cls is Upscaler else (64, 80)
    found = restored(fitted[cls], coloured)
    assert (found.size, found.values.shape[2], found.values.dtype) == (sides, 3, np.float32)
    assert (found.depth, found.profile) == (8, b"of colours")
    assert found.alpha.shape == sides
    assert (found.alpha == 128).all()
    np.testing.assert_array_equal(found.values, restored(fitted[cls], coloured.values))
    found = restored(fitted[cls], deep)
    kept = (8, None) if cls is Colorizer else (16, b"of grey")
    assert (found.depth, found.profile) == kept
    assert found.values.shape == (*sides, 3 if cls is Colorizer else 1)


@EVERY
def test_a_saved_restorer_gives_the_same_bits(cls, fitted, tmp_path):
    fitted[cls].save(tmp_path)
    loaded = load(tmp_path)
    assert type(loaded) is cls
    assert (loaded.seed_, loaded.n_channels_) == (fitted[cls].seed_, fitted[cls].n_channels_)
    assert loaded.history_.records == fitted[cls].history_.records
    assert repr(loaded) == repr(fitted[cls])
    np.testing.assert_array_equal(restored(loaded, SMALL[1]), restored(fitted[cls], SMALL[1]))
    whole = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(whole[:-9])
    with pytest.raises(ArtifactError, match="damaged or cut short"):
        load(tmp_path)


def test_every_restorer_is_known_by_its_name():
    assert {name: cls.__name__ for name, cls in RESTORERS.items()} == {
        cls.__name__: cls.__name__ for cls in SETTINGS
    }


@EVERY
def test_parameters_are_scikit_learns(cls):
    restorer = quick(cls, 3)
    assert repr(clone(restorer)) == repr(restorer)
    assert restorer.set_params(trainer__max_epochs=7).trainer.max_epochs == 7
    assert cls().default_objects()["trainer"].max_epochs == cls().default_trainer().max_epochs


@EVERY
def test_a_restorer_that_is_not_fitted_or_whose_fit_failed_says_so(cls):
    with pytest.raises(NotFittedError):
        restored(quick(cls), SMALL[0])
    restorer = quick(cls).fit(SMALL)
    with pytest.raises(DataError):
        restorer.fit([])
    with pytest.raises(NotFittedError):
        restored(restorer, SMALL[0])


@EVERY
@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\): give \(h, w\)"),
        (np.zeros((0, 5), np.uint8), r"shape \(0, 5\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), r"shape \(2, 4, 5, 3\)"),
        (np.zeros((4, 5), np.int64), "holds int64"),
        (np.full((4, 5), 100.0), "floats in"),
        (np.full((4, 5), np.nan), "floats in"),
    ],
    ids=["channels", "empty", "batch", "int", "levels", "nan"],
)
def test_what_is_no_picture_is_one_sentence(cls, fitted, image, sentence):
    with pytest.raises(DataError, match=sentence):
        restored(fitted[cls], image)


# Photographs to learn from.


@pytest.mark.parametrize(
    ("photographs", "sentence"),
    [
        ([], "no photographs"),
        ("nowhere", "'nowhere' is no folder"),
        (["nowhere.png"], "nowhere.png cannot be read"),
        (SMALL[0], "give a list of photographs, even of one"),
        (grey(SMALL[0]), "give a list of photographs, even of one"),
        (Photograph(SMALL[0] / 255), "give a list of photographs, even of one"),
        ([np.zeros((4, 5, 4), np.uint8)], r"shape \(4, 5, 4\)"),
        ([SMALL[0], SMALL[0].astype(int)], "holds int64"),
        ([Photograph(np.full((4, 5, 1), np.nan, np.float32))], "holds float32"),
    ],
    ids=["none", "folder", "file", "one", "grey", "photograph", "channels", "int", "nan"],
)
def test_photographs_that_cannot_be_learned_from_are_one_sentence(photographs, sentence):
    with pytest.raises(DataError, match=sentence):
        quick(Denoiser).fit(photographs)


def test_a_folder_files_photographs_and_arrays_are_learned_from_alike(tmp_path):
    for i, picture in enumerate(SMALL):
        write_image(tmp_path / f"{i}.png", picture)
    (tmp_path / "notes.txt").write_text("not a picture")
    expected = weights(quick(Colorizer).fit(SMALL))
    floats = [Photograph(SMALL[0] / np.float32(255)), SMALL[1] / 255]
    for same in (tmp_path, str(tmp_path), sorted(tmp_path.glob("*.png")), np.stack(SMALL), floats):
        assert same_weights(weights(quick(Colorizer).fit(same)), expected)


@pytest.mark.parametrize("cls", [Denoiser, Inpainter])
def test_with_one_grey_photograph_luminances_are_learned(cls):
    restorer = quick(cls).fit([SMALL[0], grey(SMALL[1])])
    assert restorer.n_channels_ == 1
    assert restorer.model_.chroma is None
    alone = quick(cls).fit([grey(SMALL[0]), grey(SMALL[1])])
    assert same_weights(weights(restorer), weights(alone))


@pytest.mark.parametrize("cls", [Denoiser, Inpainter])
def test_a_grey_model_restores_every_colour_by_itself(cls):
    restorer = quick(cls).fit([grey(picture) for picture in SMALL])
    found = restored(restorer, SMALL[0])
    for channel in range(3):
        np.testing.assert_array_equal(
            found[..., channel], restored(restorer, SMALL[0][..., channel])
        )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"widths": ()}, r"widths must be 1 to 5 whole numbers, one for every scale; got \(\)"),
        ({"widths": 8}, "widths must be 1 to 5"),
        ({"widths": (4,) * 6}, "widths must be 1 to 5"),
        ({"widths": (4, 0)}, "widths must be a whole number of at least 1"),
        ({"n_blocks": 0}, "n_blocks must be"),
        ({"patch_size": 18}, "patch_size must be a multiple of 4, 2 to the number of widths"),
        ({"patch_size": 0}, "patch_size must be a whole number"),
        ({"max_sigma": 0}, "max_sigma must lie in"),
        ({"max_sigma": float("nan")}, "max_sigma must lie in"),
        ({"trainer": 5}, "trainer must be a Trainer or None"),
        ({"trainer": Trainer(0)}, "max_epochs must be"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_used_are_named(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Denoiser(**{**NET, **settings}).fit(SMALL)


@pytest.mark.parametrize("cls", [Inpainter, Colorizer])
def test_the_sides_of_patches_are_multiples_for_every_network_of_scales(cls):
    with pytest.raises(ValueError, match="patch_size must be a multiple of 4"):
        quick(cls, patch_size=18).fit(SMALL)


@pytest.mark.parametrize("factor", [1, 5, 2.0, "2", True, None])
def test_factors_are_two_three_and_four(factor):
    with pytest.raises(ValueError, match="factor must be"):
        quick(Upscaler, factor=factor).fit(SMALL)


# Interrupted trainings.


class Stop:
    """Interrupt the training after so many epochs."""

    def __init__(self, after):
        self.left = after

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def interrupted(cls, folder, after, max_epochs):
    with pytest.raises(KeyboardInterrupt):
        quick(cls, max_epochs, loggers=(Stop(after),), checkpoint=folder).fit(SMALL)


# Of 11 epochs of five steps the autoencoders and the map of an Upscaler have two each.
@pytest.mark.parametrize(
    ("cls", "after", "max_epochs"),
    [(Denoiser, 1, 3), (Upscaler, 1, 11), (Upscaler, 3, 11), (Upscaler, 5, 11)],
)
def test_an_interrupted_training_ends_like_one_that_was_not(
    cls, after, max_epochs, tmp_path, monkeypatch
):
    monkeypatch.setattr(Patches.__init__, "__defaults__", (5,))
    straight = quick(cls, max_epochs).fit(SMALL)
    interrupted(cls, tmp_path, after, max_epochs)
    resumed = quick(cls, max_epochs, checkpoint=tmp_path).fit(SMALL)
    assert same_weights(weights(resumed), weights(straight))
    assert resumed.history_["loss"] == straight.history_["loss"]
    np.testing.assert_array_equal(restored(resumed, SMALL[0]), restored(straight, SMALL[0]))
    # The phases' own checkpoints are gone.
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize(
    "other",
    [
        {"photographs": SMALL[:1]},
        {"photographs": [SMALL[0], SMALL[1][:, ::-1]]},
        {"n_blocks": 2},
        {"random_state": 1},
    ],
    ids=["fewer", "turned", "settings", "seed"],
)
def test_a_checkpoint_of_other_photographs_or_settings_is_refused(other, tmp_path):
    interrupted(Denoiser, tmp_path, 1, 3)
    photographs = other.pop("photographs", SMALL)
    with pytest.raises(ArtifactError, match="belongs to a fit of other data or settings"):
        quick(Denoiser, 3, checkpoint=tmp_path, **other).fit(photographs)


def test_an_interrupted_training_is_loaded_at_its_last_epoch_with_a_warning(tmp_path):
    interrupted(Denoiser, tmp_path, 2, 3)
    with pytest.warns(UserWarning, match="interrupted; loaded as it stood after epoch 2"):
        loaded = load(tmp_path)
    assert len(loaded.history_) == 2
    assert restored(loaded, SMALL[0]).shape == SMALL[0].shape


# What is learned.


@pytest.fixture(scope="module")
def denoiser():
    """Return a denoiser after 800 steps on grey photographs."""
    net = {"widths": (16, 32), "n_blocks": 1, "patch_size": 16, "random_state": 0}
    return Denoiser(30, **net, trainer=learning(40, 3e-3, batch_size=8)).fit(
        [grey(picture) for picture in TRAINING]
    )


def with_noise(clean, sigma=25):
    return clean + np.random.default_rng(0).normal(0, sigma / 255, clean.shape)


def test_noise_is_removed_better_than_by_the_best_gaussian_blur(denoiser):
    clean = HELD_OUT.mean(axis=2) / 255
    noisy = with_noise(clean)
    blurs = [gaussian_filter(noisy, width) for width in np.arange(0.3, 2, 0.1)]
    blurred = max(psnr(clean, blur.clip(0, 1)) for blur in blurs)
    found = psnr(clean, denoiser.restore(noisy, sigma=25))
    # 21.1 dB with noise, 23.0 blurred and 23.3 restored when this is written.
    assert found > blurred
    assert found > psnr(clean, noisy.clip(0, 1)) + 1.8


def test_noise_of_a_level_that_is_estimated_is_removed_nearly_as_well(denoiser):
    clean = HELD_OUT.mean(axis=2) / 255
    noisy = with_noise(clean)
    told, estimated = (psnr(clean, denoiser.restore(noisy, sigma=s)) for s in (25, None))
    # Of this crop's leaves the estimate takes some for noise.
    assert abs(told - estimated) < 0.5


def test_a_picture_without_noise_is_left_nearly_as_it_is(denoiser):
    clean = HELD_OUT.mean(axis=2) / 255
    # 31 dB when this is written: a deviation of 7 levels of 255.
    assert psnr(clean, denoiser.restore(clean, sigma=0)) > 28


def test_noise_of_colours_is_removed_by_networks_for_colours():
    net = {"widths": (8, 16), "n_blocks": 1, "patch_size": 16, "random_state": 0}
    denoiser = Denoiser(30, **net, trainer=learning(15, batch_size=8)).fit(TRAINING)
    assert denoiser.history_.records[0].keys() >= {"luminance", "chroma"}
    clean = FLOWER[150:250, 250:350] / 255
    noisy = with_noise(clean)
    found = denoiser.restore(noisy, sigma=25)
    # 21.1 dB with noise and 22.3 restored; both networks have a part in what is gained.
    assert psnr(clean, found) > psnr(clean, noisy.clip(0, 1)) + 0.8
    for part in (slice(0, 1), slice(1, 3)):
        truth, before, after = (
            to_opponent(torch.from_numpy(x).movedim(-1, 0))[part].numpy()
            for x in (clean, noisy, found)
        )
        assert psnr(truth, after) > psnr(truth, before) + 0.5


@pytest.mark.parametrize(
    ("trained_on", "picture", "share"),
    [("colour", "colour", 3**-0.5), ("colour", "grey", 1), ("grey", "colour", 1)],
)
def test_networks_are_told_the_noise_of_what_they_see(
    fitted, monkeypatch, trained_on, picture, share
):
    # White noise of three colours has a third of its variance in luminance and in differences.
    grey_one = trained_on == "grey"
    denoiser = quick(Denoiser).fit([grey(SMALL[0])]) if grey_one else fitted[Denoiser]
    model, told = denoiser.model_, []
    for name in ("denoise_luminance", "denoise_chroma"):
        own = getattr(model, name)

        def spying(*arguments, own=own):
            told.append(arguments[-1].item())
            return own(*arguments)

        monkeypatch.setattr(model, name, spying)
    denoiser.restore(SMALL[0] if picture == "colour" else grey(SMALL[0]), sigma=30)
    n_networks = {("colour", "colour"): 2, ("colour", "grey"): 1, ("grey", "colour"): 3}
    expected = [share * 30 / 255] * n_networks[trained_on, picture]
    np.testing.assert_allclose(told, expected, rtol=1e-6)


@pytest.mark.parametrize("sigma", [-1, 56, float("nan")])
def test_noise_levels_beyond_those_learned_are_refused(fitted, sigma):
    with pytest.raises(ValueError, match=r"sigma must lie in \[0, 55\]"):
        fitted[Denoiser].restore(SMALL[0], sigma=sigma)


# Holes.


def test_random_holes_are_scattered_pixels_strokes_and_boxes():
    masks = seeded(random_holes, 300, 64, 64)
    assert (masks.shape, masks.dtype) == ((300, 1, 64, 64), torch.float32)
    assert set(masks.unique().tolist()) == {0, 1}
    masks = masks[:, 0].numpy()
    # Three boxes have at most seven kinds of rows; scattered pixels change at every fifth or more.
    boxes = np.array([len({row.tobytes() for row in mask}) for mask in masks]) <= 7
    scatter = ~boxes & (np.abs(np.diff(masks, axis=2)).mean(axis=(1, 2)) > 0.17)
    shares = masks.mean(axis=(1, 2))
    # 100 of each are expected, with a standard error of 8.
    for kind, least, most in ((boxes, 0, 0.4), (scatter, 0.08, 0.92), (~boxes & ~scatter, 0, 0.5)):
        assert 65 < kind.sum() < 135
        assert least <= shares[kind].min() < shares[kind].max() <= most
    # From a tenth to nine tenths, evenly.
    assert shares[scatter].mean() == pytest.approx(0.5, abs=0.1)
    assert not np.array_equal(masks, seeded(random_holes, 301, 64, 64)[:300, 0].numpy())


@pytest.fixture(scope="module")
def inpainter():
    """Return an inpainter after 200 steps."""
    net = {"widths": (8, 16, 16), "n_blocks": 1, "patch_size": 32, "random_state": 0}
    return Inpainter(**net, trainer=learning(10)).fit(TRAINING)


BOX = np.zeros((128, 128), bool)
BOX[40:52, 40:52] = True


@pytest.mark.parametrize("missing", [scattered((128, 128)), BOX], ids=["scattered", "box"])
@pytest.mark.parametrize("channels", ["colour", "grey"])
def test_holes_are_filled_better_than_with_the_mean(inpainter, missing, channels):
    clean = HELD_OUT / 255 if channels == "colour" else HELD_OUT.mean(axis=2) / 255
    filled = inpainter.restore(clean, missing=missing)
    mean = np.broadcast_to(clean[~missing].mean(axis=0), clean[missing].shape)
    # 12.3 and 13.3 dB for the mean, 17 and 15 filled when this is written.
    assert psnr(clean[missing], filled[missing]) > psnr(clean[missing], mean) + 1


@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("channels", ["colour", "grey"])
@pytest.mark.parametrize("trained_on", ["colour", "grey"])
def test_known_pixels_come_back_bit_for_bit_and_what_is_missing_is_not_looked_at(
    fitted, kind, channels, trained_on
):
    restorer = fitted[Inpainter]
    if trained_on == "grey":
        restorer = quick(Inpainter).fit([grey(picture) for picture in SMALL])
    rng = np.random.default_rng(0)
    picture = rng.random((40, 50, 3) if channels == "colour" else (40, 50))
    # Floats may be a little beyond [0, 1], for instance of a picture with noise.
    whole = np.dtype(kind).kind == "u"
    picture = (picture * np.iinfo(kind).max if whole else 1.2 * picture - 0.1).astype(kind)
    missing = scattered((40, 50))
    found = restorer.restore(picture, missing=missing)
    np.testing.assert_array_equal(found[~missing], picture[~missing])
    assert not np.array_equal(found[missing], picture[missing])
    other = picture.copy()
    other[missing] = 0
    np.testing.assert_array_equal(restorer.restore(other, missing=missing), found)


def test_nothing_is_changed_where_nothing_is_missing(fitted):
    whole = Photograph(np.random.default_rng(0).random((20, 30, 3), dtype=np.float32))
    missing = np.zeros((20, 30))
    found = fitted[Inpainter].restore(whole, missing=missing)
    np.testing.assert_array_equal(found.values, whole.values)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (np.ones((64, 80)), "leaves no known pixel"),
        (np.zeros((80, 64)), r"mask has shape \(80, 64\) and the picture \(64, 80\)"),
        (np.zeros((64, 80, 1)), r"mask has shape \(64, 80, 1\)"),
        (0, r"mask has shape \(\)"),
    ],
    ids=["all", "turned", "channel", "number"],
)
def test_masks_that_do_not_fit_are_one_sentence(fitted, missing, sentence):
    for picture in (SMALL[0], Photograph(SMALL[0] / np.float32(255))):
        with pytest.raises(DataError, match=sentence):
            fitted[Inpainter].restore(picture, missing=missing)


# Resolution.


@pytest.fixture(scope="module")
def upscaler():
    """Return an upscaler after 400 steps end to end."""
    net = {"width": 16, "n_blocks": 1, "patch_size": 16, "random_state": 0}
    return Upscaler(2, **net, trainer=learning(20)).fit(TRAINING)


def as_tensor(picture):
    return torch.from_numpy(np.asarray(picture, np.float32)).movedim(-1, 0)[None]


def test_pictures_are_enlarged_better_than_by_bicubic_interpolation(upscaler):
    clean = as_tensor(HELD_OUT / 255)
    small = shrink(clean, 2).clamp(0, 1)
    bicubic = F.interpolate(small, scale_factor=2.0, mode="bicubic").clamp(0, 1)
    found = upscaler.restore(small[0].movedim(0, -1).numpy())
    # 21.0 dB and 21.16 dB when this is written.
    assert psnr(HELD_OUT / 255, found) > psnr(clean, bicubic) + 0.05
    # And the result's own small picture is nearly what it was made of: 37 dB.
    assert psnr(small, shrink(as_tensor(found), 2)) > 33


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (33, 40)], ids=str)
def test_a_result_is_so_many_times_as_high_and_as_wide(factor, size):
    model = quick(Upscaler, factor=factor)
    model.seed_, model.n_channels_ = 0, 1
    model.model_ = model._model(1).eval()
    for picture in (np.zeros(size, np.uint8), np.zeros((*size, 3), np.float32)):
        found = model.restore(picture)
        assert found.shape == (factor * size[0], factor * size[1], *picture.shape[2:])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_constants_are_enlarged_to_constants_by_what_the_interpolation_adds(factor):
    coupled = CoupledAutoencoder(factor, 4, 1)
    flat = torch.full((1, 1, 6, 7), 0.3)
    large = coupled.interpolate(flat)
    torch.testing.assert_close(large, torch.full((1, 1, 6 * factor, 7 * factor), 0.3))
    torch.testing.assert_close(shrink(large, factor), flat)


def test_the_phases_train_the_autoencoders_then_the_map_then_all_that_upscales(monkeypatch):
    whole, changed = [], []
    fit = Trainer.fit

    def spying(trainer, model, *arguments, **options):
        whole.append(model)
        before = {name: value.clone() for name, value in whole[0].state_dict().items()}
        history = fit(trainer, model, *arguments, **options)
        after = whole[0].state_dict()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        changed.append({name.split(".")[0] for name in moved})
        return history

    monkeypatch.setattr(Trainer, "fit", spying)
    quick(Upscaler).fit(SMALL)
    assert changed == [
        {"low_encoder", "low_decoder", "high_encoder", "high_decoder"},
        {"map"},
        {"low_encoder", "map", "high_decoder"},
    ]


# Missing colours.


@pytest.fixture(scope="module")
def colorizer():
    """Return a colorizer after 200 steps."""
    net = {"widths": (8, 16), "n_blocks": 1, "patch_size": 32, "random_state": 0}
    return Colorizer(**net, trainer=learning(10)).fit(TRAINING)


def test_colours_of_what_was_seen_are_nearer_to_the_truth_than_grey_is(colorizer):
    # Red petals: 10.7 dB for grey, 12.3 to 13 coloured when this is written.
    clean = FLOWER[150:250, 250:350] / 255
    without = np.repeat(clean.mean(axis=2, keepdims=True), 3, axis=2)
    found = colorizer.restore(without[..., 0])
    assert psnr(clean, found) > psnr(clean, without) + 1


def test_the_luminance_is_kept_but_where_a_colour_is_clipped(colorizer):
    luminance = FLOWER[150:250, 250:350].mean(axis=2) / 255
    found = colorizer.restore(luminance)
    within = ((found > 0) & (found < 1)).all(axis=2)
    assert within.mean() > 0.9
    np.testing.assert_allclose(found.mean(axis=2)[within], luminance[within], atol=1e-6)


def test_colours_that_a_picture_has_are_not_looked_at(colorizer):
    tinted = HELD_OUT / 255
    flat = np.repeat(tinted.mean(axis=2, keepdims=True), 3, axis=2)
    np.testing.assert_allclose(colorizer.restore(tinted), colorizer.restore(flat), atol=1e-5)


def test_the_strength_of_colours_is_the_best_for_photographs_held_out():
    rng = np.random.default_rng(0)
    # Bright means red and dark means blue in nine; in the tenth it is half as much so.
    luminance = rng.integers(60, 196, (10, 16, 16)).repeat(3, 1).repeat(3, 2)
    swing = (luminance - 128) // 2
    swing[9] //= 2
    colours = np.stack([luminance + swing, luminance, luminance - swing], 3).clip(0, 255)
    photographs = list(colours.astype(np.uint8))
    net = {"widths": (8, 16), "n_blocks": 1, "patch_size": 16, "random_state": 0}
    colorizer = Colorizer(**net, trainer=learning(4)).fit(photographs)
    strength = colorizer.model_.strength.item()
    truth = to_opponent(torch.from_numpy(photographs[9]).movedim(-1, 0).float() / 255)
    with torch.no_grad():
        guess = colorizer.model_.chroma(truth[None, :1])[0]
    best = float((guess * truth[1:]).sum() / guess.square().sum())
    # The network is about right for the nine, and so about twice too strong for the tenth. Here the
    # picture has no surroundings, there they are its reflection.
    assert 0.3 < strength < 0.7
    assert strength == pytest.approx(best, rel=0.05)
    # Fewer than ten are too few to spare one.
    assert Colorizer(**net, trainer=learning(1)).fit(photographs[:9]).model_.strength.item() == 1


def test_colours_are_not_learned_from_grey():
    for photographs in ([grey(SMALL[0])], [SMALL[0], grey(SMALL[1])[..., None]]):
        with pytest.raises(DataError, match="learned from photographs in colour, and one is grey"):
            quick(Colorizer).fit(photographs)
