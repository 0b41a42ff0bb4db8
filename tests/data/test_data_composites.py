"""Digits on photographs: masks, attributes, seeds and splits."""

import colorsys
import os
from dataclasses import fields

import numpy as np
import pytest

from sfumato.data import (
    HUES,
    DataError,
    as_table,
    digits_in_noise,
    digits_on_textures,
    natural_patches,
    textures,
)

MAKERS = (digits_on_textures, digits_in_noise)


@pytest.fixture
def nothing_there(monkeypatch):
    monkeypatch.delenv("SFUMATO_DATA", raising=False)


def arrays(made):
    values = [getattr(made, field.name) for field in fields(made)]
    return [value for value in values if isinstance(value, np.ndarray)]


def test_a_picture_is_the_blend_of_its_colour_and_its_background(nothing_there):
    made = digits_on_textures(50)
    a = made.ink[:, None]
    blend = a * made.colours[:, :, None, None] + (1 - a) * made.backgrounds
    np.testing.assert_allclose(made.images, blend, atol=1e-6)
    assert made.images.dtype == np.float32
    assert 0 <= made.images.min() <= made.images.max() <= 1


def test_masks_are_where_the_digit_covers_most_of_a_pixel(nothing_there):
    made = digits_on_textures(50)
    nearer_colour = abs(made.images - made.colours[:, :, None, None]).sum(1) < abs(
        made.images - made.backgrounds
    ).sum(1)
    # Where colour and background are the same grey neither is nearer; bright hues never are.
    np.testing.assert_array_equal(made.masks, nearer_colour)
    untouched = made.ink == 0
    assert 0.3 < untouched.mean() < 1
    same = (made.images == made.backgrounds).all(axis=1)
    assert same[untouched].all()


def test_a_digit_in_noise_is_added_to_its_background_without_clipping(nothing_there):
    made = digits_in_noise(50)
    np.testing.assert_allclose(made.images, made.backgrounds + made.ink[:, None] / 2, atol=1e-6)
    assert made.backgrounds.max() <= 0.5
    assert natural_patches(50).max() <= 0.5


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("size", [16, 32])
def test_digits_keep_their_ink_and_lie_wholly_inside(nothing_there, make, size):
    made = make(200, size)
    # The hats fade out over two thirds of the glyph's margin of one cell in ten.
    border = np.concatenate([made.ink[:, [0, -1]], made.ink[:, :, [0, -1]].swapaxes(1, 2)], 1)
    assert border.max() <= 0.5
    assert made.masks.any(axis=(1, 2)).all()
    # A stroke fills between a twelfth and a half of the picture.
    assert 0.05 < made.ink.mean() < 0.5


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides_every_bit(nothing_there, make):
    for a, b in zip(arrays(make(20, seed=1)), arrays(make(20, seed=1)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (make(20, seed=1).images != make(20, seed=2).images).any()


def test_backgrounds_are_other_crops_than_the_scenes(nothing_there):
    for scenes, alone in [
        (digits_on_textures(100).backgrounds, textures(100)[0]),
        (digits_in_noise(100).backgrounds, natural_patches(100)),
    ]:
        assert not {row.tobytes() for row in scenes} & {row.tobytes() for row in alone}
        assert scenes.shape == alone.shape


def test_the_splits_share_no_pixel_of_a_photograph(nothing_there, monkeypatch):
    # Photographs whose every pixel says which column it is in.
    columns = np.broadcast_to(np.arange(200, dtype=np.float32) / 200, (100, 200))
    monkeypatch.setattr(
        "sfumato.data.composites._texture_photographs", lambda: {"a": columns, "b": columns}
    )
    train, test = (textures(200, 16, split=split)[0] for split in ("train", "test"))
    assert train.max() < test.min()


def test_the_splits_share_no_digit(nothing_there):
    train, test = (digits_in_noise(3000, split=split, seed=0) for split in ("train", "test"))
    # Of 1,797 digits the last 497 are for tests; 3,000 draws use each of a split.
    assert set(np.unique(train.digits)) == set(np.unique(test.digits)) == set(range(10))
    from sfumato.data.composites import _glyphs

    first, second = (_glyphs("digits", split)[0] for split in ("train", "test"))
    assert (len(first), len(second)) == (1300, 497)
    assert not {g.tobytes() for g in first} & {g.tobytes() for g in second}


def test_hues_are_names_of_the_colours(nothing_there):
    made = digits_on_textures(300)
    hue = np.array([colorsys.rgb_to_hsv(*colour)[0] for colour in made.colours.tolist()])
    nearest = np.rint(hue * len(HUES)).astype(int) % len(HUES)
    np.testing.assert_array_equal(nearest, made.hues)


def test_estimators_take_the_pictures_as_they_are(nothing_there):
    made = digits_on_textures(5)
    rows, image_shape, *_ = as_table(made.images)
    assert image_shape == (3, 32, 32)
    np.testing.assert_array_equal(rows[0, :1024], made.images[0, 0].ravel())
    assert as_table(digits_in_noise(5).images)[1] == (1, 32, 32)


def test_attributes_are_independent_of_each_other(nothing_there):
    made = digits_on_textures(2000)
    for a in (made.digits, made.hues):
        share = np.histogram2d(a, made.textures, bins=(a.max() + 1, 3))[0] / len(a)
        # About 70 of 2,000 in a cell: three standard deviations are 25, of 0.0125 share.
        independent = share.sum(1, keepdims=True) * share.sum(0)
        assert abs(share - independent).max() < 0.0125


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"split": "valid"}, "'train' or 'test'"),
        ({"digits": "letters"}, "'auto', 'mnist' or 'digits'"),
        ({"size": 300}, "smaller size"),
    ],
)
def test_what_cannot_be_made_is_said(nothing_there, wrong, says):
    with pytest.raises(DataError, match=says):
        digits_on_textures(5, **wrong)


@pytest.mark.skipif(not os.environ.get("SFUMATO_DATA"), reason="needs $SFUMATO_DATA")
def test_mnist_and_photographs_of_textures_are_taken_where_they_are():
    made = digits_on_textures(50)
    assert made.texture_names == ("grass", "gravel", "brick")
    assert (made.digits != digits_on_textures(50, digits="digits").digits).any()
    np.testing.assert_array_equal(made.digits, digits_on_textures(50, digits="mnist").digits)
