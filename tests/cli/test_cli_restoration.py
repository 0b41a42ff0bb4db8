"""`sfumato denoise`, `inpaint`, `upscale`, `colorize`: what they write, print, keep and refuse."""

import shutil
import signal
import time

import numpy as np
import pytest
from PIL import Image

from sfumato import Denoiser, Upscaler, load
from sfumato.data import read_photograph, shipped_photographs
from sfumato.metrics import psnr, ssim
from sfumato.restoration.patches import STEPS, Patches

NET = ("--set", "widths=4,8", "--set", "n_blocks=1", "--set", "patch_size=16")
UPSCALER = ("--set", "width=4", "--set", "n_blocks=1", "--set", "patch_size=8")
BRIEF = ("--set", "batch_size=2", "--epochs", 1)
WORDS = {"denoise": NET, "inpaint": NET, "upscale": UPSCALER, "colorize": NET}
CLEAN = [picture[200:264, 250:330] for picture in shipped_photographs()]


@pytest.fixture(autouse=True, scope="module")
def short_epochs():
    """Make an epoch of this process 10 steps, a twentieth of what it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Patches.__init__, "__defaults__", (10,))
        yield


def saved(path, pixels, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def opened(path):
    with Image.open(path) as image:
        image.load()
    return image


def noisy(pixels, seed=0):
    noise = np.random.default_rng(seed).normal(0, 25, pixels.shape)
    return np.rint(pixels + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Return a folder of two clean photographs."""
    folder = tmp_path_factory.mktemp("photographs") / "clean"
    for name, pixels in zip("ab", CLEAN, strict=True):
        saved(folder / f"{name}.png", pixels)
    return folder


@pytest.fixture(scope="module")
def models(cli, clean, tmp_path_factory):
    """Return a folder with a model for every command."""
    home = tmp_path_factory.mktemp("models")
    picture = saved(home / "picture.png", np.dstack([CLEAN[0], np.full((64, 80), 255, np.uint8)]))
    with Image.open(picture) as image:
        image.putpixel((3, 4), (0, 0, 0, 0))
        image.save(picture)
    for command, net in WORDS.items():
        words = (picture, "--train", clean, "--model", home / command)
        outcome = cli(command, *words, *net, *BRIEF)
        assert outcome.status == 0, outcome.err
    return home


@pytest.fixture
def picture(tmp_path):
    return saved(tmp_path / "pictures" / "a.png", noisy(CLEAN[0]))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(outcome, sentence):
    assert (outcome.status, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("Error: ")
    assert sentence in line
    return True


# What is written.


def test_a_process_learns_from_a_folder_and_restores_a_picture_beside_it(process, clean, tmp_path):
    shutil.copytree(clean, tmp_path / "clean")
    saved(tmp_path / "noisy.png", noisy(CLEAN[0]))
    words = ("--train", "clean", "--model", "model", "--sigma", 25, *NET, *BRIEF, "--json")
    outcome = process("denoise", "noisy.png", *words)
    assert outcome.status == 0, outcome.err
    assert len(outcome.out.splitlines()) == 1
    (result,) = outcome.json["results"]
    assert outcome.json["failed"] == []
    assert result.pop("seconds") > 0
    assert result == {
        "input": "noisy.png", "output": "noisy.denoised.png", "width": 80, "height": 64,
    }  # fmt: skip
    (line,) = outcome.err.splitlines()
    assert line.startswith("denoiser epoch 1/1 loss ")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "params.json", "weights.safetensors", "history.json",
    }  # fmt: skip
    model = load(tmp_path / "model")
    assert (type(model), model.widths, model.n_channels_) == (Denoiser, (4, 8), 3)
    expected = model.restore(np.asarray(opened(tmp_path / "noisy.png")), sigma=25)
    found = np.asarray(opened(tmp_path / "noisy.denoised.png"))
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, np.asarray(opened(tmp_path / "noisy.png")))


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("denoise", "denoised"),
        ("inpaint", "inpainted"),
        ("upscale", "upscaled"),
        ("colorize", "colorized"),
    ],
)
def test_a_result_lies_beside_its_picture_under_a_name_of_its_own(models, command, word):
    size = (160, 128) if command == "upscale" else (80, 64)
    assert opened(models / f"picture.{word}.png").size == size


def test_a_trained_model_is_used_without_a_training(cli, models, picture):
    outcome = cli("denoise", picture, "--model", models / "denoise")
    result = picture.with_name("a.denoised.png")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"{result}: 80 x 64\n"
    # Without --sigma the level is estimated.
    expected = load(models / "denoise").restore(np.asarray(opened(picture)))
    np.testing.assert_array_equal(np.asarray(opened(result)), expected)


def test_what_can_be_restored_in_a_folder_is_and_every_failure_is_a_sentence(
    cli, models, picture, tmp_path
):
    folder = picture.parent
    saved(folder / "b.jpg", noisy(CLEAN[1]))
    whole = saved(folder / "c.jpg", CLEAN[1]).read_bytes()
    (folder / "c.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "d.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not a picture")
    saved(folder / "below" / "e.png", CLEAN[0])
    outcome = cli("denoise", folder, "--model", models / "denoise", "--json")
    assert outcome.status == 1
    done = tmp_path / "pictures-denoised"
    assert [found["input"] for found in outcome.json["results"]] == [
        str(folder / "a.png"), str(folder / "b.jpg"),
    ]  # fmt: skip
    assert [found["output"] for found in outcome.json["results"]] == [
        str(done / "a.png"), str(done / "b.jpg"),
    ]  # fmt: skip
    failures = outcome.json["failed"]
    assert [found["input"] for found in failures] == [str(folder / "c.jpg"), str(folder / "d.png")]
    assert "truncated" in failures[0]["error"]
    assert "is empty" in failures[1]["error"]
    assert outcome.err.splitlines() == [
        *(f"Error: {found['error']}" for found in failures),
        "Error: 2 of 4 picture(s) could not be restored; the reasons stand above.",
    ]
    assert sorted(contents(done)) == ["a.png", "b.jpg"]
    # Where nothing failed a person is told the same, line by line.
    (folder / "c.jpg").unlink()
    (folder / "d.png").unlink()
    outcome = cli("denoise", folder, "--model", models / "denoise", "--overwrite")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [f"{done / 'a.png'}: 80 x 64", f"{done / 'b.jpg'}: 80 x 64"]


def test_results_go_to_the_file_or_the_folder_that_is_named(cli, models, picture, tmp_path):
    model = ("--model", models / "denoise")
    assert cli("denoise", picture, *model, "--out", tmp_path / "new" / "x.jpg").status == 0
    assert opened(tmp_path / "new" / "x.jpg").format == "JPEG"
    assert cli("denoise", picture, *model, "--out", tmp_path / "new").status == 0
    assert cli("denoise", picture.parent, *model, "--out", tmp_path / "other").status == 0
    assert sorted(contents(tmp_path / "new")) == ["a.denoised.png", "x.jpg"]
    assert sorted(contents(tmp_path / "other")) == ["a.png"]


@pytest.mark.parametrize("command", WORDS)
def test_every_kind_of_picture_is_restored_and_keeps_what_its_format_holds(
    cli, models, tmp_path, command
):
    folder = tmp_path / "kinds"
    deep = CLEAN[0][..., 0].astype(np.uint16) * 257
    see_through = np.dstack([CLEAN[0], np.full((64, 80), 128, np.uint8)])
    saved(folder / "deep.tif", deep)
    saved(folder / "deep.png", deep)
    saved(folder / "bits.png", CLEAN[0][..., 0] > 127)
    saved(folder / "alpha.PNG", see_through)
    saved(folder / "grey.jpeg", CLEAN[0][..., 0])
    saved(folder / "pixel.bmp", CLEAN[0][:1, :1])
    Image.fromarray(CLEAN[0]).quantize(16).save(folder / "palette.png")
    Image.fromarray(CLEAN[0]).convert("CMYK").save(folder / "cmyk.jpg")
    frames = [Image.fromarray(pixels) for pixels in CLEAN]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    words = ()
    if command == "inpaint":
        # Nothing is missing from the smallest: one pixel would be all of it.
        for path in folder.iterdir():
            height, width = read_photograph(path).size
            holes = np.zeros((height, width), np.uint8)
            holes[5:9, 5:9] = 255
            saved(tmp_path / "masks" / f"{path.stem}.png", holes)
        words = ("--mask", tmp_path / "masks")
    outcome = cli(command, folder, "--model", models / command, "--out", tmp_path / "out", *words)
    assert outcome.status == 0, outcome.err
    modes = {path.name: opened(path).mode for path in (tmp_path / "out").iterdir()}
    grey, deep = ("RGB", "RGB") if command == "colorize" else ("L", "I;16")
    assert modes == {
        "deep.tif": deep, "deep.png": deep, "bits.png": grey, "alpha.PNG": "RGBA",
        "grey.jpeg": grey, "pixel.bmp": "RGB", "palette.png": "RGB", "cmyk.jpg": "RGB",
        "moving.png": "RGB",
    }  # fmt: skip
    scale = 2 if command == "upscale" else 1
    assert opened(tmp_path / "out" / "pixel.bmp").size == (scale, scale)
    alpha = np.asarray(opened(tmp_path / "out" / "alpha.PNG"))[..., 3]
    assert alpha.shape == (64 * scale, 80 * scale)
    assert (alpha == 128).all()


# What exists already.


def test_a_result_that_exists_is_replaced_only_when_asked_and_before_anything_is_trained(
    cli, models, picture
):
    result = saved(picture.with_name("a.denoised.png"), CLEAN[1])
    before = result.read_bytes()
    for words in (("--model", models / "denoise"), ("--train", "nowhere")):
        outcome = cli("denoise", picture, *words)
        assert refused(outcome, f"{result} exists; add --overwrite or choose another --out.")
        assert result.read_bytes() == before
    assert cli("denoise", picture, "--model", models / "denoise", "--overwrite").status == 0
    assert result.read_bytes() != before


def test_in_a_folder_what_exists_fails_and_the_rest_is_done(cli, models, picture, tmp_path):
    saved(picture.with_name("b.png"), noisy(CLEAN[1]))
    before = saved(tmp_path / "out" / "a.png", CLEAN[1]).read_bytes()
    words = (picture.parent, "--model", models / "denoise", "--out", tmp_path / "out", "--json")
    outcome = cli("denoise", *words)
    assert outcome.status == 1
    assert [found["input"] for found in outcome.json["failed"]] == [str(picture)]
    assert len(outcome.json["results"]) == 1
    assert contents(tmp_path / "out")["a.png"] == before
    outcome = cli("denoise", *words[:-1])
    assert refused(outcome, "exists; add --overwrite")


def test_two_pictures_do_not_get_one_result(cli, models, picture):
    Image.fromarray(CLEAN[1]).save(picture.with_name("a.gif"))
    outcome = cli("denoise", picture.parent, "--model", models / "denoise", "--overwrite")
    assert refused(outcome, "a.png would be the result of 2 pictures: rename all but one")


def test_pictures_are_not_replaced_by_their_results(cli, models, picture):
    words = ("--model", models / "denoise", "--out", picture.parent, "--overwrite")
    assert refused(cli("denoise", picture.parent, *words), "Results would replace their pictures")


def test_a_model_that_exists_is_replaced_only_when_asked(cli, clean, models, picture, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(models / "denoise", model)
    before = contents(model)
    words = ("denoise", picture, "--train", clean, "--model", model, *NET, *BRIEF, "--seed", 1)
    assert refused(cli(*words), "already holds a model; leave --train out to use it, or add")
    assert contents(model) == before
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "x.png").write_text("not a picture")
    failing = (*words[:3], tmp_path / "text", *words[4:], "--overwrite")
    assert refused(cli(*failing), "x.png cannot be read as an image")
    assert contents(model) == before
    assert cli(*words, "--overwrite").status == 0
    assert contents(model).keys() == before.keys()
    assert contents(model)["weights.safetensors"] != before["weights.safetensors"]


# How good it is.


def test_against_a_reference_both_measures_are_given(cli, clean, models, picture):
    words = ("denoise", picture, "--model", models / "denoise", "--overwrite", "--reference")
    for reference in (clean, clean / "a.png"):
        outcome = cli(*words, reference, "--json")
        assert outcome.status == 0, outcome.err
        (result,) = outcome.json["results"]
        found = read_photograph(picture.with_name("a.denoised.png")).values
        # The file has been rounded to bytes.
        assert result["psnr"] == pytest.approx(psnr(CLEAN[0] / 255, found), abs=0.02)
        assert result["ssim"] == pytest.approx(ssim(CLEAN[0] / 255, found), abs=1e-3)
    outcome = cli(*words, clean)
    assert f"80 x 64, PSNR {result['psnr']:.2f}, SSIM {result['ssim']:.4f}\n" in outcome.out


def test_grey_is_measured_against_the_luminance_of_its_reference(cli, clean, models, tmp_path):
    luminance = np.rint(CLEAN[0].mean(axis=2)).astype(np.uint8)
    grey = saved(tmp_path / "a.png", luminance)
    words = ("--model", models / "denoise", "--sigma", 0, "--reference", clean, "--json")
    outcome = cli("denoise", grey, *words)
    assert outcome.status == 0, outcome.err
    found = read_photograph(tmp_path / "a.denoised.png").values[..., 0]
    expected = psnr(CLEAN[0].mean(axis=2) / 255, found)
    assert outcome.json["results"][0]["psnr"] == pytest.approx(expected, abs=0.02)


def test_a_result_that_cannot_be_measured_is_a_failure_and_not_written(
    cli, clean, models, picture, tmp_path
):
    words = ("denoise", picture, "--model", models / "denoise", "--json", "--reference")
    saved(tmp_path / "small" / "a.png", CLEAN[0][:32])
    for reference, sentence in (
        (tmp_path / "small", "has (32, 80) pixels and the result (64, 80)"),
        (tmp_path / "none.png", "none.png cannot be read"),
        (models, "holds no picture named a"),
    ):
        outcome = cli(*words, reference)
        assert outcome.status == 1
        assert sentence in outcome.json["failed"][0]["error"]
        assert outcome.json["results"] == []
        assert [path.name for path in picture.parent.iterdir()] == ["a.png"]


# Holes.


@pytest.fixture
def holes(tmp_path):
    missing = np.zeros((64, 80), np.uint8)
    missing[20:30, 40:60] = 200
    return saved(tmp_path / "masks" / "a.png", missing), missing > 0


@pytest.mark.parametrize("how", ["file", "folder", "transparency"])
def test_holes_are_told_by_a_mask_or_by_transparency_and_the_rest_stays(
    cli, models, picture, holes, tmp_path, how
):
    mask, missing = holes
    known = np.asarray(opened(picture))
    words = ("--mask", mask if how == "file" else mask.parent)
    if how == "transparency":
        words = ()
        saved(picture, np.dstack([known, np.where(missing, 0, 255).astype(np.uint8)]))
    outcome = cli("inpaint", picture, "--model", models / "inpaint", *words)
    assert outcome.status == 0, outcome.err
    result = opened(picture.with_name("a.inpainted.png"))
    # A picture that was transparent where it was missing is whole.
    assert result.mode == "RGB"
    filled = np.asarray(result)
    np.testing.assert_array_equal(filled[~missing], known[~missing])
    assert (filled[missing] != known[missing]).any()
    expected = load(models / "inpaint").restore(known, missing=missing)
    np.testing.assert_array_equal(filled, expected)


@pytest.mark.parametrize("ink", [0, 255])
def test_a_mask_can_be_drawn_in_black_or_white_on_what_is_transparent(
    cli, models, picture, holes, ink
):
    mask, missing = holes
    known = np.asarray(opened(picture))
    drawn = np.full((*missing.shape, 4), ink, np.uint8)
    drawn[..., 3] = np.where(missing, 255, 0)
    outcome = cli("inpaint", picture, "--model", models / "inpaint", "--mask", saved(mask, drawn))
    assert outcome.status == 0, outcome.err
    expected = load(models / "inpaint").restore(known, missing=missing)
    np.testing.assert_array_equal(opened(picture.with_name("a.inpainted.png")), expected)


def test_without_a_mask_and_without_transparency_nothing_is_missing(cli, models, picture):
    opaque = np.dstack([CLEAN[0], np.full((64, 80), 255, np.uint8)])
    for pixels in (CLEAN[0], opaque):
        saved(picture, pixels)
        outcome = cli("inpaint", picture, "--model", models / "inpaint")
        assert outcome.status == 1
        assert "has nothing transparent: give --mask to say what is missing" in outcome.err
        assert [path.name for path in picture.parent.iterdir()] == ["a.png"]


def test_masks_that_do_not_fit_are_one_sentence(cli, models, picture, tmp_path):
    saved(tmp_path / "wide.png", np.zeros((64, 81), np.uint8))
    saved(tmp_path / "all.png", np.full((64, 80), 255, np.uint8))
    for mask, sentence in (
        ("wide.png", "The mask has shape (64, 81) and the picture (64, 80)"),
        ("all.png", "The mask leaves no known pixel"),
        ("none.png", "none.png cannot be read as an image"),
        (".", "holds no picture named a"),
    ):
        words = ("--model", models / "inpaint", "--mask", tmp_path / mask)
        outcome = cli("inpaint", picture, *words)
        assert outcome.status == 1
        assert sentence in outcome.err.splitlines()[0]


# Resolution.


def test_the_factor_is_the_models_and_no_other_is_taken(cli, models, picture):
    model = ("--model", models / "upscale")
    outcome = cli("upscale", picture, *model, "--factor", 3)
    assert outcome.status == 2
    assert "factor belongs to training" in outcome.err
    assert cli("upscale", picture, *model, "--factor", 2).status == 0
    assert cli("upscale", picture, *model, "--overwrite").status == 0
    assert opened(picture.with_name("a.upscaled.png")).size == (160, 128)


def test_another_factor_is_learned(cli, clean, picture, tmp_path):
    words = ("--train", clean, "--model", tmp_path / "model", "--factor", 3, *UPSCALER, *BRIEF)
    outcome = cli("upscale", picture, *words)
    assert outcome.status == 0, outcome.err
    assert opened(picture.with_name("a.upscaled.png")).size == (240, 192)
    model = load(tmp_path / "model")
    assert (type(model), model.factor) == (Upscaler, 3)
    phases = [line.split(" loss ")[0] for line in outcome.err.splitlines()]
    assert phases == [
        "upscaler autoencoders epoch 1/1", "upscaler map epoch 1/1", "upscaler epoch 1/1",
    ]  # fmt: skip
    assert not (tmp_path / "model" / "phases").exists()


# Without photographs.


def test_without_photographs_a_model_is_learned_once_and_kept(cli, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "cache"))
    words = ("denoise", picture, *NET, *BRIEF, "--json")
    first = cli(*words)
    assert first.status == 0, first.err
    told, epoch = first.err.splitlines()
    (folder,) = (tmp_path / "cache" / "models").iterdir()
    assert "learning from the two photographs that scikit-learn brings" in told
    assert str(folder) in told
    assert epoch.startswith("denoiser epoch 1/1")
    result = picture.with_name("a.denoised.png")
    before = result.read_bytes()
    second = cli(*words, "--overwrite")
    assert (second.status, second.err) == (0, "")
    assert result.read_bytes() == before
    # Another seed or another setting is another model.
    assert cli(*words, "--overwrite", "--seed", 1).status == 0
    assert cli("colorize", picture, *NET, *BRIEF).status == 0
    assert len(list((tmp_path / "cache" / "models").iterdir())) == 3


def test_the_number_of_epochs_without_photographs_is_the_one_that_is_set(
    cli, picture, tmp_path, monkeypatch
):
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path))
    monkeypatch.setattr("sfumato.jobs.restoration.EPOCHS_WITHOUT_PHOTOGRAPHS", 3)
    for words, epochs in (
        (("--set", "trainer.max_epochs=2"), 2),
        (("--set", "max-epochs=1"), 1),
        ((), 3),
    ):
        outcome = cli(
            "denoise", picture, *NET, "--set", "batch_size=2", *words, "--overwrite", "--seed", 5
        )
        assert outcome.status == 0, outcome.err
        assert outcome.err.splitlines()[-1].startswith(f"denoiser epoch {epochs}/{epochs} ")


# What is refused.


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("denoise", "none.png"), "'none.png' is neither a picture nor a folder"),
        (("denoise", "empty"), "empty holds no pictures"),
        (("denoise", "a.png", "--out", "x.webp"), "x.webp does not end in .png"),
        (("denoise", "a.png", "--train", "empty"), "empty holds no images to learn from"),
        (("denoise", "a.png", "--train", "none"), "'none' is no folder"),
        (("denoise", "a.png", "--train", "a.png"), "'a.png' is no folder"),
        (("denoise", "a.png", "--model", "none"), "'none' is not a run"),
        (("denoise", "a.png", "--model", "empty"), "'empty' is not a run"),
        (("colorize", "a.png", "--train", "grey"), "learned from photographs in colour"),
        (
            ("denoise", "a.png", "--train", "grey", "--set", "patch_size=18"),
            "patch_size must be a multiple of 8",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_no_result(cli, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    saved(tmp_path / "a.png", CLEAN[0])
    saved(tmp_path / "grey" / "a.png", CLEAN[0][..., 0])
    assert refused(cli(*words), sentence)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "empty", "grey"]


@pytest.mark.parametrize("command", WORDS)
def test_a_model_of_another_task_is_refused(cli, models, picture, command):
    other = next(name for name in WORDS if name != command)
    outcome = cli(command, picture, "--model", models / other)
    assert refused(outcome, f"holds no model that can {command}.")


def test_a_model_of_pictures_is_no_model_of_rows(cli, models):
    assert refused(
        cli("evaluate", models / "denoise"), "holds a Denoiser, which is no model of rows"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("denoise",), "Missing argument 'INPUT'"),
        (("denoise", "a.png", "--sigma", 300), "300.0 is not in the range 0<=x<=255"),
        (("denoise", "a.png", "--sigma", -1), "-1.0 is not in the range"),
        (("upscale", "a.png", "--factor", 5), "'5' is not one of '2', '3', '4'"),
        (("colorize", "a.png", "--mask", "a.png"), "No such option"),
        (("denoise", "a.png", "--set", "depth=3"), "Denoiser has no setting 'depth'"),
        (("denoise", "a.png", "--set", "widths=narrow"), "takes whole numbers such as 64,32"),
        (("denoise", "a.png", "--epochs", 0), "0 is not in the range"),
        (("denoise", "a.png", "--epochs", 3, "--model", "model"), "max_epochs belongs to training"),
        (("denoise", "a.png", "--set", "n_blocks=2", "--model", "model"), "n_blocks belongs to"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_status_2_and_makes_nothing(
    cli, models, tmp_path, monkeypatch, capfd, words, sentence
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "cache"))
    saved(tmp_path / "a.png", CLEAN[0])
    (tmp_path / "model").symlink_to(models / "denoise")
    outcome = cli(*words)
    assert outcome.status == 2
    assert sentence in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "model"]


# Interrupted.


def test_an_interrupted_training_leaves_nothing_half_written_and_goes_on_when_repeated(
    cli, start, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # Grey: one network learns faster than two.
    saved(tmp_path / "clean" / "a.png", CLEAN[0][..., 0])
    saved(tmp_path / "noisy.png", noisy(CLEAN[0][..., 0]))
    words = ("denoise", "noisy.png", "--train", "clean", *NET, "--set", "batch_size=2")
    words += ("--epochs", 3, "--model")
    child = start(*words, "model")
    until = time.monotonic() + 60
    while not (tmp_path / "model" / "checkpoint.safetensors").exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["checkpoint.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "model", "noisy.png"]

    # As many steps as the process took.
    monkeypatch.setattr(Patches.__init__, "__defaults__", (STEPS,))
    again = cli(*words, "model")
    assert again.status == 0, again.err
    # The first epoch is not repeated.
    assert again.err.splitlines()[0].startswith(("denoiser epoch 2/3", "denoiser epoch 3/3"))
    assert not (tmp_path / "model" / "checkpoint.safetensors").exists()
    resumed = (tmp_path / "noisy.denoised.png").read_bytes()
    assert cli(*words, "straight", "--overwrite").status == 0
    found, expected = (
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("model", "straight")
    )
    assert found == expected
    assert (tmp_path / "noisy.denoised.png").read_bytes() == resumed


def test_an_unfinished_training_of_other_settings_is_refused(
    cli, clean, picture, tmp_path, monkeypatch
):
    from sfumato.training import Progress

    def interrupted(*arguments):
        raise KeyboardInterrupt

    words = ("denoise", picture, "--train", clean, "--model", tmp_path / "model", *NET, *BRIEF)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "log_metrics", interrupted)
        assert cli(*words).status == 130
    assert refused(cli(*words, "--seed", 1), "belongs to a fit of other data or settings")
    outcome = cli(*words, "--set", "n_blocks=2")
    assert refused(outcome, "belongs to a fit of other data or settings")
    assert cli(*words).status == 0
