"""Folders of images."""

import numpy as np
import pytest
from PIL import Image

from sfumato.data import DataError, load_data

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 5, 3), np.uint8)


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "gif", "PNG", "tiff"])
def test_grey_images_come_back_as_they_were(tmp_path, ending):
    images = RNG.integers(0, 256, (3, 6, 5), np.uint8)
    for i, pixels in enumerate(images):
        save(tmp_path / f"{i}.{ending}", pixels)
    data = load_data(tmp_path)
    # Pillow opens a grey GIF as grey or as a palette: the first channel is the same.
    np.testing.assert_array_equal(data.X[:, :30], images.reshape(3, 30))
    assert data.X.dtype == np.uint8
    assert data.y is None
    assert data.image_shape[1:] == (6, 5)


@pytest.mark.parametrize("ending", ["jpg", "jpeg"])
def test_jpeg_images_are_read(tmp_path, ending):
    save(tmp_path / f"a.{ending}", np.full((6, 5), 128, np.uint8))
    data = load_data(tmp_path)
    assert data.image_shape == (1, 6, 5)
    assert abs(int(data.X.mean()) - 128) < 3


def test_colour_images_come_back_channels_first(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    data = load_data(tmp_path)
    assert data.image_shape == (3, 6, 5)
    np.testing.assert_array_equal(data.X[0], np.moveaxis(COLOUR, 2, 0).ravel())


def on_white(colour, alpha):
    share = alpha[..., None] / 255
    return np.moveaxis(np.rint(colour * share + 255 * (1 - share)), 2, 0).ravel()


def icon(colour, side=16):
    """A square of one colour, the shape in the alpha alone."""
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[4:10, 4:10, 3] = 255
    return pixels


def test_transparent_pixels_are_composed_on_white_with_one_warning(tmp_path):
    save(tmp_path / "a.png", np.dstack([COLOUR, GREY]))
    save(tmp_path / "b.png", np.dstack([COLOUR, GREY[::-1]]))
    save(tmp_path / "c.png", COLOUR)
    with pytest.warns(UserWarning, match="are read as white") as caught:
        X = load_data(tmp_path).X
    assert len(caught) == 1
    assert str(tmp_path) in str(caught[0].message)
    np.testing.assert_array_equal(X[0], on_white(COLOUR, GREY))
    np.testing.assert_array_equal(X[1], on_white(COLOUR, GREY[::-1]))
    np.testing.assert_array_equal(X[2], np.moveaxis(COLOUR, 2, 0).ravel())


def test_opaque_alpha_changes_nothing_and_says_nothing(tmp_path):
    save(tmp_path / "a.png", np.dstack([COLOUR, np.full_like(GREY, 255)]))
    np.testing.assert_array_equal(load_data(tmp_path).X[0], np.moveaxis(COLOUR, 2, 0).ravel())


@pytest.mark.parametrize(
    ("colours", "background"),
    [((0, 90), "white"), ((255, 90), "black"), ((250,), "black"), ((0, 255), "grey")],
)
def test_a_shape_in_the_alpha_alone_shows_on_a_background_that_all_have(
    tmp_path, colours, background
):
    for colour in colours:
        save(tmp_path / f"{colour}.png", icon(colour))
    with pytest.warns(UserWarning, match=f"are read as {background}"):
        X = load_data(tmp_path).X
    level = {"white": 255, "black": 0, "grey": 128}[background]
    images = X.reshape(len(X), 3, 16, 16)
    assert (images[:, :, 0, 0] == level).all()
    assert images[:, 0, 5, 5].tolist() == sorted(colours)


@pytest.mark.parametrize("kind", ["LA", "P", "key of RGB", "key of L", "key of 16 bits"])
def test_every_kind_of_transparency_shows_its_shape(tmp_path, kind):
    pixels, options = icon(0)[..., 3] // 255, {}
    image = Image.fromarray(pixels * np.uint8(9))
    if kind == "LA":
        image = Image.fromarray(icon(0)[..., [0, 3]], "LA")
    elif kind == "P":
        image = Image.fromarray(pixels, "P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        options = {"transparency": 0}
    elif kind == "key of RGB":
        image, options = image.convert("RGB"), {"transparency": (0, 0, 0)}
    elif kind == "key of L":
        options = {"transparency": 0}
    else:
        image, options = Image.fromarray(pixels * np.uint16(9)), {"transparency": 0}
    image.save(tmp_path / "a.png", **options)
    with pytest.warns(UserWarning, match="are read as white"):
        data = load_data(tmp_path)
    first = data.X.reshape(data.image_shape)[0]
    assert first[0, 0] == np.iinfo(data.X.dtype).max
    assert first[5, 5] <= 9


def test_classes_share_one_background_and_one_warning(tmp_path):
    for label, colour in (("ant", 0), ("bee", 60)):
        save(tmp_path / label / "a.png", icon(colour))
    with pytest.warns(UserWarning, match="are read as white") as caught:
        load_data(tmp_path)
    assert [f"{tmp_path} are" in str(found.message) for found in caught] == [True]


def test_a_palette_becomes_colour_even_with_transparent_entries(tmp_path):
    image = Image.fromarray(COLOUR).quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes([0, 128] + [255] * 14))
    alpha = np.array([0, 128] + [255] * 14)[np.asarray(image)]
    with pytest.warns(UserWarning, match="are read as white"):
        X = load_data(tmp_path).X
    np.testing.assert_array_equal(X[0], on_white(np.asarray(image.convert("RGB")), alpha))


# What turns an upright picture into the pixels that a camera stores with an orientation.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: np.rot90,
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "deep.tif"])
def test_photographs_of_all_orientations_are_read_upright(tmp_path, ending):
    blocks = np.kron(np.arange(0, 240, 40).reshape(2, 3), np.ones((8, 8))).astype(np.uint8)
    scale, dtype = (257, np.uint16) if ending == "deep.tif" else (1, np.uint8)
    for orientation, stored in STORED.items():
        exif = Image.Exif()
        exif[0x112] = orientation
        pixels = np.ascontiguousarray(stored(blocks)).astype(dtype) * dtype(scale)
        Image.fromarray(pixels).save(tmp_path / f"{orientation}.{ending}", exif=exif)
    data = load_data(tmp_path)
    assert data.image_shape == (1, 16, 24)
    for row in data.X:
        np.testing.assert_allclose(row / scale, blocks.ravel(), atol=2)


def test_a_photograph_whose_upright_size_is_another_is_named(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    for name in "ab":
        save(tmp_path / f"{name}.png", GREY)
    Image.fromarray(GREY).save(tmp_path / "c.png", exif=exif)
    with pytest.raises(DataError, match=r"c\.png is 6 x 5 pixels where .* 5 x 6"):
        load_data(tmp_path)


def test_sixteen_bits_are_kept(tmp_path):
    deep = RNG.integers(0, 65536, (6, 5), np.uint16)
    save(tmp_path / "a.png", deep)
    save(tmp_path / "b.tif", deep)
    X = load_data(tmp_path).X
    assert X.dtype == np.uint16
    np.testing.assert_array_equal(X, [deep.ravel()] * 2)


def test_two_levels_become_0_and_255(tmp_path):
    save(tmp_path / "a.png", GREY > 127)
    np.testing.assert_array_equal(load_data(tmp_path).X[0], 255 * (GREY > 127).ravel())


def test_one_image_in_colour_makes_all_colour(tmp_path):
    save(tmp_path / "a.png", GREY)
    save(tmp_path / "b.png", COLOUR)
    data = load_data(tmp_path)
    assert data.image_shape == (3, 6, 5)
    np.testing.assert_array_equal(data.X[0], np.tile(GREY.ravel(), 3))


def test_frames_come_in_natural_order(tmp_path):
    for i in (10, 9, 100, 1):
        save(tmp_path / f"in{i}.png", np.full((2, 2), i, np.uint8))
    save(tmp_path / "7.png", np.full((2, 2), 7, np.uint8))
    assert load_data(tmp_path).X[:, 0].tolist() == [7, 1, 9, 10, 100]


def test_subfolders_are_classes(tmp_path):
    for i, name in enumerate(["zebra/1", "ant/2", "ant/10", "zebra/3"]):
        save(tmp_path / f"{name}.png", np.full((2, 2), i, np.uint8))
    (tmp_path / "no images").mkdir()
    data = load_data(tmp_path)
    assert data.class_names == ("ant", "zebra")
    assert data.X[:, 0].tolist() == [1, 2, 0, 3]
    assert data.y.tolist() == [0, 0, 1, 1]
    assert data.name == tmp_path.name


def test_other_and_hidden_files_are_left_out(tmp_path):
    save(tmp_path / "a.png", GREY)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "._a.png").write_text("not an image")
    assert len(load_data(tmp_path).X) == 1


def test_the_image_of_another_size_is_named_with_both_sizes(tmp_path):
    for name in "abd":
        save(tmp_path / f"{name}.png", GREY)
    save(tmp_path / "c.png", GREY[:4])
    with pytest.raises(DataError, match=r"c\.png is 5 x 4 pixels where .* 5 x 6"):
        load_data(tmp_path)


@pytest.mark.parametrize("content", [b"not an image", b""])
def test_an_unreadable_image_is_named(tmp_path, content):
    save(tmp_path / "a.png", GREY)
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.png"):
        load_data(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_a_truncated_image_is_named(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    save(path, RNG.integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match=rf"a\.{ending} cannot be read as an image"):
        load_data(tmp_path)


def test_a_mixture_of_depths_is_refused(tmp_path):
    save(tmp_path / "a.png", GREY)
    save(tmp_path / "b.png", GREY.astype(np.uint16))
    with pytest.raises(DataError, match=r"b\.png has 16-bit pixels where others have 8"):
        load_data(tmp_path)


def test_pixels_of_other_types_are_refused(tmp_path):
    save(tmp_path / "a.tif", GREY.astype(np.float32))
    with pytest.raises(DataError, match=r"a\.tif has pixels of mode F"):
        load_data(tmp_path)


def test_values_beyond_sixteen_bits_are_refused(tmp_path):
    save(tmp_path / "a.tif", np.full((2, 2), 70000, np.int32))
    with pytest.raises(DataError, match="beyond 16 bits"):
        load_data(tmp_path)


def test_an_image_that_is_too_large_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.png", GREY)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(DataError, match=r"a\.png cannot be read .*exceeds limit"):
        load_data(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        load_data(tmp_path)
