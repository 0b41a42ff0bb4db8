"""Single pictures in and out, whatever their files are, and how near two pictures are."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from sfumato.data import (
    DataError,
    Photograph,
    image_paths,
    read_photograph,
    read_picture,
    shipped_photographs,
    write_image,
    write_photograph,
)
from sfumato.metrics import psnr, ssim

SIZE = (6, 9)
COLOUR = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, SIZE, dtype=np.uint16)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(path, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def levels(photograph):
    """Return the values as whole numbers of their depth, without the axis of a single channel."""
    whole = np.rint(photograph.values * (2**photograph.depth - 1)).astype(int)
    return whole[..., 0] if whole.shape[2] == 1 else whole


def opened(path):
    with Image.open(path) as image:
        image.load()
    return image


# Reading.


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), SIZE])
def test_colours_are_read_as_they_were_written(tmp_path, ending, size):
    pixels = COLOUR[: size[0], : size[1], :3]
    read = read_photograph(saved(tmp_path / f"a.{ending}", pixels))
    assert (read.size, read.values.dtype, read.depth, read.alpha) == (size, np.float32, 8, None)
    np.testing.assert_array_equal(levels(read), pixels)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "gif"])
def test_grey_pictures_have_one_channel_but_for_gif_whose_palette_is_of_colours(tmp_path, ending):
    read = read_photograph(saved(tmp_path / f"a.{ending}", COLOUR[..., 0]))
    n_channels = 3 if ending == "gif" else 1
    assert read.values.shape == (*SIZE, n_channels)
    np.testing.assert_allclose(255 * read.values[..., 0], COLOUR[..., 0], atol=1e-4)


def test_one_bit_is_black_or_white(tmp_path):
    bits = COLOUR[..., 0] > 127
    read = read_photograph(saved(tmp_path / "a.png", bits))
    assert opened(tmp_path / "a.png").mode == "1"
    np.testing.assert_array_equal(read.values[..., 0], bits)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_are_kept_from_file_to_file(tmp_path, ending):
    read = read_photograph(saved(tmp_path / f"a.{ending}", DEEP))
    assert (read.depth, read.values.shape) == (16, (*SIZE, 1))
    np.testing.assert_array_equal(levels(read), DEEP)
    write_photograph(tmp_path / f"b.{ending}", read)
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / f"b.{ending}")), DEEP)


@pytest.mark.parametrize("kind", ["LA", "RGBA"])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_transparency_is_kept_from_file_to_file(tmp_path, kind, ending):
    pixels = COLOUR[..., :2] if kind == "LA" else COLOUR
    read = read_photograph(saved(tmp_path / f"a.{ending}", pixels))
    np.testing.assert_array_equal(levels(read), pixels[..., 0] if kind == "LA" else pixels[..., :3])
    np.testing.assert_array_equal(read.alpha, pixels[..., -1])
    write_photograph(tmp_path / f"b.{ending}", read)
    again = opened(tmp_path / f"b.{ending}")
    assert again.mode == kind
    np.testing.assert_array_equal(np.asarray(again), pixels)


@pytest.mark.parametrize("transparent", [None, 3, bytes(range(0, 256, 16))], ids=["no", "1", "all"])
def test_palettes_become_colours_and_keep_what_is_transparent(tmp_path, transparent):
    palette = Image.fromarray(COLOUR[..., :3]).quantize(16)
    options = {} if transparent is None else {"transparency": transparent}
    read = read_photograph(saved(tmp_path / "a.png", palette, **options))
    np.testing.assert_array_equal(levels(read), np.asarray(palette.convert("RGB")))
    index = np.asarray(palette)
    if transparent is None:
        assert read.alpha is None
    elif transparent == 3:
        np.testing.assert_array_equal(read.alpha, np.where(index == 3, 0, 255))
    else:
        np.testing.assert_array_equal(read.alpha, 16 * index)


@pytest.mark.parametrize("grey", [False, True])
def test_a_colour_that_stands_for_transparent_is_transparent(tmp_path, grey):
    pixels = COLOUR[..., 0] if grey else COLOUR[..., :3]
    key = int(pixels[2, 3]) if grey else tuple(pixels[2, 3].tolist())
    read = read_photograph(saved(tmp_path / "a.png", pixels, transparency=key))
    assert read.values.shape[2] == (1 if grey else 3)
    assert read.alpha[2, 3] == 0
    assert read.alpha.max() == 255


def test_cmyk_becomes_red_green_and_blue_without_its_profile(tmp_path):
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    read = read_photograph(saved(tmp_path / "a.jpg", flat, icc_profile=PROFILE))
    assert read.profile is None
    # No cyan and all of magenta and yellow is red; JPEG moves it by little.
    np.testing.assert_allclose(read.values[8, 8], [1, 0, 0], atol=0.05)


# What the orientations of EXIF do to the pixels of a file, to bring them upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "deep tif"])
def test_turned_pictures_come_upright(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x112] = orientation
    # Blocks of 8 pixels of one grey each: JPEG keeps them.
    blocks = np.kron(np.arange(0, 240, 40, dtype=np.uint8).reshape(2, 3), np.ones((8, 8), np.uint8))
    pixels = blocks.astype(np.uint16) * 257 if kind == "deep tif" else blocks
    read = read_photograph(saved(tmp_path / f"a.{kind.split()[-1]}", pixels, exif=exif))
    upright = UPRIGHT[orientation](blocks) / 255
    assert read.size == upright.shape
    np.testing.assert_allclose(read.values[..., 0], upright, atol=2 / 255)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_the_colour_profile_goes_from_file_to_file(tmp_path, ending):
    read = read_photograph(saved(tmp_path / f"a.{ending}", COLOUR[..., :3], icc_profile=PROFILE))
    assert read.profile == PROFILE
    write_photograph(tmp_path / f"b.{ending}", read)
    assert opened(tmp_path / f"b.{ending}").info["icc_profile"] == PROFILE


def test_of_an_animation_the_first_picture_is_read(tmp_path):
    first, second = (Image.new("L", (9, 6), level) for level in (10, 200))
    read = read_photograph(
        saved(tmp_path / "a.gif", first, save_all=True, append_images=[second], duration=40)
    )
    assert (levels(read) == 10).all()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.png", None, "No such file"),
        ("empty.png", lambda whole: b"", "is empty"),
        ("cut.png", lambda whole: whole[: len(whole) // 2], "truncated"),
        ("cut.jpg", lambda whole: whole[: len(whole) // 2], "truncated"),
        ("text.jpg", lambda whole: b"It was a dark and stormy night.", "cannot identify"),
        ("garbled.png", lambda whole: whole[:60] + bytes(40) + whole[100:], "garbled.png"),
    ],
)
def test_a_file_that_is_no_whole_image_is_one_sentence(tmp_path, name, content, sentence):
    path = tmp_path / name
    if content is not None:
        large = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        path.write_bytes(content(saved(path, large).read_bytes()))
    with pytest.raises(DataError, match=sentence) as raised:
        read_photograph(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_photograph(tmp_path)


def test_pixels_beyond_16_bits_are_refused_and_not_read_as_black(tmp_path):
    floats = saved(tmp_path / "floats.tif", np.full(SIZE, 0.5, np.float32))
    with pytest.raises(DataError, match="pixels of mode F: convert it to 8 or 16 bit"):
        read_photograph(floats)
    large = saved(tmp_path / "large.tif", np.full(SIZE, 70_000, np.int32))
    with pytest.raises(DataError, match="values beyond 16 bits"):
        read_photograph(large)


def test_the_picture_of_a_video_is_8_bit_colour_whatever_its_file_is(tmp_path):
    grey = read_picture(saved(tmp_path / "a.png", DEEP))
    assert (grey.shape, grey.dtype) == ((*SIZE, 3), np.uint8)
    np.testing.assert_array_equal(grey[..., 1], np.rint(DEEP / 257))
    with pytest.warns(UserWarning, match="are read as white"):
        transparent = read_picture(saved(tmp_path / "b.png", COLOUR))
    share = COLOUR[..., 3:] / 255
    expected = np.rint(COLOUR[..., :3] * share + 255 * (1 - share))
    np.testing.assert_array_equal(transparent, expected)


def test_a_grey_of_16_bits_that_stands_for_transparent_is_transparent(tmp_path):
    key = int(DEEP[2, 3])
    read = read_photograph(saved(tmp_path / "a.png", DEEP, transparency=key))
    assert read.depth == 16
    np.testing.assert_array_equal(read.alpha, np.where(key == DEEP, 0, 255))


@pytest.mark.parametrize(("level", "background"), [(0.0, 1.0), (0.5, 1.0), (1.0, 0.0)])
def test_a_shape_in_the_alpha_alone_shows_on_the_photographs_background(level, background):
    alpha = np.zeros(SIZE, np.uint8)
    alpha[2:4] = 255
    flat = Photograph(np.full((*SIZE, 3), level, np.float32), alpha).on_background()
    assert flat.alpha is None
    assert flat.values.dtype == np.float32
    expected = np.where(alpha[..., None] > 0, level, background) * np.ones(3)
    np.testing.assert_array_equal(flat.values, expected)


def test_the_two_shipped_photographs_are_in_colour():
    assert [(p.shape, p.dtype) for p in shipped_photographs()] == [((427, 640, 3), np.uint8)] * 2


# Writing.


def test_a_format_without_transparency_gets_none_and_one_without_16_bits_gets_8(tmp_path):
    values = DEEP[..., None] / np.float32(65535)
    deep = Photograph(values, depth=16)
    see_through = Photograph(COLOUR[..., :3] / np.float32(255), COLOUR[..., 3])
    for ending in ("jpg", "jpeg", "bmp", "JPG"):
        for photograph, mode in ((deep, "L"), (see_through, "RGB")):
            path = tmp_path / f"a.{ending}"
            write_photograph(path, photograph)
            assert opened(path).mode == mode
    # Lossless, so that 8 bits are seen to be the nearest.
    write_photograph(tmp_path / "a.bmp", deep)
    np.testing.assert_array_equal(opened(tmp_path / "a.bmp"), np.rint(values[..., 0] * 255))


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_of_colours_or_beside_transparency_are_written_as_8(tmp_path, ending):
    # Pillow holds 16 bits of grey alone.
    path = tmp_path / f"a.{ending}"
    write_photograph(path, Photograph(np.ones((*SIZE, 3), np.float32), depth=16))
    assert np.asarray(opened(path)).tolist() == np.full((*SIZE, 3), 255).tolist()
    grey = Photograph(np.ones((*SIZE, 1), np.float32), alpha=COLOUR[..., 3], depth=16)
    write_photograph(path, grey)
    assert opened(path).mode == "LA"
    np.testing.assert_array_equal(np.asarray(opened(path))[..., 1], COLOUR[..., 3])


def test_values_are_clipped_and_rounded(tmp_path):
    values = np.array([[-0.5, 0.4999 / 255, 0.5001 / 255, 1.5]], np.float32)[..., None]
    write_photograph(tmp_path / "a.png", Photograph(values))
    assert np.asarray(opened(tmp_path / "a.png")).tolist() == [[0, 0, 1, 255]]


def test_grey_that_becomes_colours_loses_its_depth_and_its_profile_and_keeps_its_alpha():
    grey = Photograph(np.zeros((*SIZE, 1), np.float32), COLOUR[..., 3], 16, b"of grey")
    coloured = grey.with_values(np.zeros((*SIZE, 3), np.float32))
    assert (coloured.depth, coloured.profile) == (8, None)
    np.testing.assert_array_equal(coloured.alpha, grey.alpha)
    same = grey.with_values(np.ones((*SIZE, 1), np.float32))
    assert (same.depth, same.profile) == (16, b"of grey")


def test_alpha_follows_the_size_of_the_values():
    alpha = np.zeros(SIZE, np.uint8)
    alpha[:, 5:] = 255
    photograph = Photograph(COLOUR[..., :3] / np.float32(255), alpha)
    larger = photograph.with_values(np.zeros((12, 18, 3), np.float32))
    assert (larger.alpha.shape, larger.alpha.dtype) == ((12, 18), np.uint8)
    # Two columns beside the edge are between.
    assert larger.alpha[:, :8].max() == 0
    assert larger.alpha[:, 13:].min() == 255


@pytest.mark.parametrize("name", ["a.webp", "a", "a.png.txt"])
def test_an_ending_that_is_no_images_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"does not end in \.png, \.jpg"):
        write_photograph(tmp_path / name, Photograph(np.zeros((*SIZE, 1), np.float32)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_or_a_name_that_is_a_folder_is_one_sentence(tmp_path):
    picture = Photograph(np.zeros((*SIZE, 1), np.float32))
    with pytest.raises(DataError, match="choose another folder"):
        write_photograph(tmp_path / "none" / "a.png", picture)
    (tmp_path / "b.png").mkdir()
    with pytest.raises(DataError, match=r"b\.png cannot be written \(Is a directory\)"):
        write_photograph(tmp_path / "b.png", picture)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


def test_a_save_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, capfd):
    path = saved(tmp_path / "a.jpg", COLOUR[..., :3])
    before = path.read_bytes()
    # No JPEG has so many columns: the encoder fails when the file is begun.
    with pytest.raises(DataError, match=r"a\.jpg cannot be written"):
        write_photograph(path, Photograph(np.zeros((1, 65_536, 1), np.float32)))
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["a.jpg"]


def test_an_interrupted_save_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", COLOUR)
    before = path.read_bytes()

    def interrupted(image, target, **options):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    for write in (
        lambda: write_photograph(path, Photograph(np.zeros((*SIZE, 1), np.float32))),
        lambda: write_image(path, COLOUR[..., 0]),
    ):
        with pytest.raises(KeyboardInterrupt):
            write()
        assert path.read_bytes() == before
        assert image_paths(tmp_path) == list(tmp_path.iterdir()) == [path]


def test_write_image_takes_bytes_of_grey_or_colours_and_nothing_else(tmp_path):
    write_image(tmp_path / "a.png", COLOUR[..., :3])
    np.testing.assert_array_equal(opened(tmp_path / "a.png"), COLOUR[..., :3])
    for wrong in (COLOUR, COLOUR[..., :1], COLOUR[..., 0] / 255, COLOUR[0, 0]):
        with pytest.raises(DataError, match="give uint8 of shape"):
            write_image(tmp_path / "b.png", wrong)


# How near two pictures are.


@pytest.fixture(scope="module")
def pair():
    truth = shipped_photographs()[0][250:300, 500:570] / 255
    noise = np.random.default_rng(0).normal(0, 0.1, truth.shape)
    return truth, (truth + noise).clip(0, 1)


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("largest", [1, 255])
def test_psnr_and_ssim_are_those_of_scikit_image(pair, channels, largest):
    measures = pytest.importorskip("skimage.metrics")
    x, y = (picture[..., 0] if channels is None else picture[..., :channels] for picture in pair)
    x, y = x * largest, y * largest
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    axis = None if channels is None else 2
    expected = measures.structural_similarity(
        x, y, data_range=largest, channel_axis=axis, **settings
    )
    assert ssim(x, y, largest) == pytest.approx(expected, abs=1e-12)
    expected = measures.peak_signal_noise_ratio(x, y, data_range=largest)
    assert psnr(x, y, largest) == pytest.approx(expected, abs=1e-12)


def windows(x, y):
    """Return SSIM by its definition, window after window of 11 x 11 pixels."""
    offsets = np.arange(-5, 6)
    weight = np.exp(-(offsets**2) / (2 * 1.5**2))
    weight = np.outer(weight, weight) / weight.sum() ** 2
    found = []
    for i in range(5, x.shape[0] - 5):
        for j in range(5, x.shape[1] - 5):
            a, b = (picture[i - 5 : i + 6, j - 5 : j + 6] for picture in (x, y))
            mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
            var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
            both = (weight * (a - mean_a) * (b - mean_b)).sum()
            top = (2 * mean_a * mean_b + 0.01**2) * (2 * both + 0.03**2)
            found.append(top / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)))
    return np.mean(found)


def test_ssim_is_the_mean_of_its_definition_over_windows_and_channels(pair):
    x, y = (picture[:13, :15] for picture in pair)
    expected = np.mean([windows(x[..., c], y[..., c]) for c in range(3)])
    assert ssim(x, y) == pytest.approx(expected, abs=1e-12)


def test_a_picture_is_like_itself(pair):
    assert ssim(pair[0], pair[0]) == pytest.approx(1, abs=1e-12)
    assert psnr(pair[0], pair[0]) == np.inf
    assert 0 < ssim(*pair) < 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (10, 10, 3)])
def test_ssim_is_defined_for_pictures_smaller_than_its_window(shape):
    x = np.random.default_rng(0).random(shape)
    assert ssim(x, x) == pytest.approx(1, abs=1e-12)
    assert ssim(x, 1 - x) < 0.9


def test_bytes_are_not_subtracted_as_bytes():
    # As bytes 10 - 200 would be 66.
    a, b = np.full((20, 20), 10, np.uint8), np.full((20, 20), 200, np.uint8)
    assert psnr(a, b, 255) == pytest.approx(20 * np.log10(255 / 190))
    assert ssim(a, b, 255) == pytest.approx(ssim(a / 255, b / 255))


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_pictures_of_two_shapes_are_not_compared(measure):
    with pytest.raises(ValueError, match=r"\(8, 8\) and \(8, 8, 1\) differ"):
        measure(np.zeros((8, 8)), np.zeros((8, 8, 1)))
