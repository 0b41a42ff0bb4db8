"""`sfumato detect` and `sfumato events`: what they print, what they leave, and what they refuse."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sfumato import load
from sfumato.data import moving_digits, open_video, read_picture
from sfumato.jobs.detection import result_folders
from sfumato.metrics import cdnet_scores
from sfumato.report.video import N_STRETCHES, player
from sfumato.video import (
    BackgroundModel,
    EventRules,
    FrameScore,
    find_events,
    read_scores,
    write_scores,
)

pytest.importorskip("cv2")

N, HEIGHT, WIDTH = 40, 48, 64
MEASURES = {"recall", "specificity", "fpr", "fnr", "pwc", "precision", "f_measure"}
FILES = {
    "background.png", "events.csv", "events.json", "frames.png", "masks", "model", "overlay.mp4",
    "report.html", "scores.csv", "summary.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return a folder of frames, and one of their truth but for the first 10, as CDnet has them."""
    home = tmp_path_factory.mktemp("clip")
    frames, truth = moving_digits(N, (HEIGHT, WIDTH))
    for name, images in (("input", frames), ("groundtruth", truth.astype(np.uint8) * 255)):
        (home / name).mkdir()
        for i, image in enumerate(images, 1):
            Image.fromarray(image).save(home / name / f"{name[:2]}{i:06d}.png")
    (home / "temporalROI.txt").write_text(f"11 {N}")
    return home, truth


@pytest.fixture(scope="module")
def detected(cli, clip, tmp_path_factory):
    """Return the folder of a detection and what was printed."""
    out = tmp_path_factory.mktemp("found") / "new" / "folder"
    outcome = cli("detect", clip[0], "--out", out, "--groundtruth", clip[0], "--json")
    assert outcome.status == 0, outcome.err
    return out, outcome


@pytest.fixture
def short(tmp_path):
    """Return a folder of 6 frames of nothing; more would only take longer."""
    folder = tmp_path / "short"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (32, 24), (90, 120, 100)).save(folder / f"{i}.png")
    return folder


def masks_of(folder):
    return [np.asarray(Image.open(path)) for path in sorted((folder / "masks").iterdir())]


def test_detect_prints_one_json_object(detected):
    out, outcome = detected
    assert len(outcome.out.splitlines()) == 1
    summary = outcome.json
    assert summary["out"] == str(out)
    assert (summary["frames"], summary["width"], summary["height"]) == (N, WIDTH, HEIGHT)
    assert summary["events"] == len(json.loads((out / "events.json").read_text()))
    assert summary["seconds"] > 0
    stored = json.loads((out / "summary.json").read_text())
    assert summary == {"out": str(out), **stored}


def test_detect_leaves_these_files_and_no_others(detected):
    assert {path.name for path in detected[0].iterdir()} == FILES


def test_every_frame_has_a_mask_of_its_size_and_a_row_of_scores(detected):
    out, _ = detected
    names = sorted(path.name for path in (out / "masks").iterdir())
    assert names == [f"{i:06d}.png" for i in range(1, N + 1)]
    scores = read_scores(out / "scores.csv")
    assert [score.index for score in scores] == list(range(N))
    for mask, score in zip(masks_of(out), scores, strict=True):
        assert (mask.shape, mask.dtype) == ((HEIGHT, WIDTH), np.uint8)
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask > 0).sum() == score.area
    assert len(list(csv.DictReader((out / "scores.csv").read_text().splitlines()))) == N


def test_the_overlay_and_the_background_have_the_size_of_the_video(detected):
    out, _ = detected
    overlay = open_video(out / "overlay.mp4")
    assert (len(list(overlay)), overlay.size, overlay.frame_rate) == (N, (HEIGHT, WIDTH), 25)
    assert read_picture(out / "background.png").shape == (HEIGHT, WIDTH, 3)


def test_the_model_of_a_detection_finds_the_same_without_a_fit(
    cli, clip, detected, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        BackgroundModel, "fit", lambda self, X, y=None: pytest.fail("it was fitted")
    )
    outcome = cli("detect", clip[0], "--model", detected[0], "--out", tmp_path / "again", "--json")
    assert outcome.status == 0, outcome.err
    for first, second in zip(masks_of(detected[0]), masks_of(tmp_path / "again"), strict=True):
        np.testing.assert_array_equal(first, second)
    stricter = tmp_path / "stricter"
    outcome = cli(
        "detect", clip[0], "--model", detected[0] / "model", "--min-area", 10**6, "--out", stricter
    )
    assert outcome.status == 0, outcome.err
    assert not any(mask.any() for mask in masks_of(stricter))


def test_the_measures_are_those_of_the_masks_within_the_frames_that_count(clip, detected):
    out, outcome = detected
    expected = cdnet_scores([mask > 0 for mask in masks_of(out)][10:], clip[1][10:])
    assert set(expected) == MEASURES
    assert {name: outcome.json[name] for name in MEASURES} == pytest.approx(expected)
    # Digits of 24 pixels: 0.89 when this is written.
    assert outcome.json["f_measure"] > 0.8


def test_the_page_is_whole_in_itself(detected):
    html = (detected[0] / "report.html").read_text()
    data = html.split('id="detection">')[1].split("</script>")[0]
    player = json.loads(data)
    assert len(player["times"]) == len(player["scores"]) == len(player["pictures"]) == N
    assert "f_measure" in html
    # The player makes its pictures from the data beside it: nothing is fetched.
    assert "http" not in html.replace("http://www.w3.org", "")


@pytest.fixture
def two_events(cli, detected, tmp_path):
    """Return the folder of a detection with two events: the digits at 0.3 and at 1.1 s."""
    folder = tmp_path / "two"
    shutil.copytree(detected[0], folder)
    scores = [
        replace(score, score=0.2 if 8 <= i < 10 or 28 <= i < 32 else 0.0)
        for i, score in enumerate(read_scores(folder / "scores.csv"))
    ]
    write_scores(folder / "scores.csv", scores)
    outcome = cli("events", folder, "--event-threshold", 0.1, "--merge", 0.1)
    assert outcome.status == 0, outcome.err
    return folder


def test_a_click_on_an_event_shows_its_peak(chromium, two_events):
    path = two_events / "report.html"
    rows = re.findall(r'<tr class="event"[^>]*>.*?</tr>', chromium(path, "--dump-dom"))
    pictures = [re.search(r'src="data:image/jpeg;base64,([^"]+)"', row).group(1) for row in rows]
    assert len(set(pictures)) == 2
    click = "addEventListener('load', () => document.querySelectorAll('tr.event')[1].click());"
    path.write_text(path.read_text().replace("</body>", f"<script>{click}</script></body>"))
    dom = chromium(path, "--dump-dom")
    # The first of the frames with the highest score is number 28 of 25 a second.
    assert re.search(r'id="when" class="note">([^<]*)<', dom).group(1) == "1.12 s"
    assert re.search(r'<img id="picture"[^>]*base64,([^"]+)"', dom).group(1) == pictures[1]


def test_events_brings_the_page_and_the_summary_up_to_date(two_events):
    assert json.loads((two_events / "summary.json").read_text())["events"] == 2
    html = (two_events / "report.html").read_text()
    assert "2 events, found without labels" in html
    assert html.count('<tr class="event"') == 2


def test_a_long_table_is_drawn_by_the_highest_score_of_each_stretch():
    scores = [FrameScore(i, i / 25, 0.5 if i == 7 else 0.1, 10) for i in range(180_000)]
    data = player(scores, [], {0: b""}, 0.3).split('id="detection">')[1].split("</script>")[0]
    drawn = json.loads(data)
    assert len(drawn["times"]) == len(drawn["scores"]) == N_STRETCHES
    assert max(drawn["scores"]) == 0.5
    assert drawn["times"][drawn["scores"].index(0.5)] == 7 / 25


def test_a_second_detection_needs_overwrite_and_then_replaces_the_first(cli, short, tmp_path):
    out = tmp_path / "out"
    words = ("detect", short, "--out", out, "--method", "median")
    assert cli(*words).status == 0
    stray = out / "masks" / "000099.png"
    shutil.copy(out / "masks" / "000001.png", stray)
    before = (out / "scores.csv").read_bytes()
    outcome = cli(*words)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        f"Error: {str(out)!r} already holds a detection; add --overwrite or choose another "
        "folder.\n"
    )
    assert stray.exists()
    outcome = cli(*words, "--overwrite")
    assert outcome.status == 0, outcome.err
    assert not stray.exists()
    assert (out / "scores.csv").read_bytes() == before
    assert "Report: " in outcome.out


def test_without_change_there_are_no_events_and_no_background_of_a_classical_method(
    cli, short, tmp_path
):
    outcome = cli("detect", short, "--out", tmp_path / "a", "--method", "mog2", "--json")
    assert (outcome.status, outcome.json["events"], outcome.json["frames"]) == (0, 0, 6)
    assert not MEASURES & outcome.json.keys()
    assert {path.name for path in (tmp_path / "a").iterdir()} == FILES - {"background.png", "model"}
    assert "No event was found." in (tmp_path / "a" / "report.html").read_text()


def test_pictures_of_others_are_never_deleted(cli, short, tmp_path):
    mine = tmp_path / "home" / "masks" / "mine.png"
    mine.parent.mkdir(parents=True)
    Image.new("L", (4, 4)).save(mine)
    words = ("detect", short, "--out", tmp_path / "home", "--method", "median")
    assert refused(cli(*words), "already holds masks")
    assert cli(*words, "--overwrite").status == 0
    assert mine.exists()


def test_the_folder_of_the_video_is_no_place_for_its_results(cli, short):
    before = sorted(path.name for path in short.iterdir())
    assert refused(cli("detect", short, "--out", short), "is the video itself")
    assert sorted(path.name for path in short.iterdir()) == before


def test_a_failed_detection_deletes_nothing_in_a_folder_that_holds_none(cli, short, tmp_path):
    (tmp_path / "background.png").write_bytes(b"mine")
    Image.new("RGB", (40, 24)).save(tmp_path / "wide.png")
    words = ("detect", short, "--out", tmp_path, "--roi", tmp_path / "wide.png")
    assert refused(cli(*words), "region of interest")
    assert (tmp_path / "background.png").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["overlay.mp4", "masks"])
def test_results_are_not_overwritten_while_they_are_the_video(cli, detected, tmp_path, name):
    out = tmp_path / "out"
    shutil.copytree(detected[0], out)
    words = ("detect", out / name, "--out", out, "--overwrite", "--method", "median")
    assert refused(cli(*words), "holds it among results")
    assert len(masks_of(out)) == N
    assert (out / "overlay.mp4").exists()


def test_overwriting_leaves_nothing_of_the_old_detection(cli, detected, short, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(detected[0], out)
    assert cli("detect", short, "--out", out, "--method", "median", "--overwrite").status == 0
    assert not (out / "background.png").exists()
    assert not (out / "model").exists()
    assert len(masks_of(out)) == 6


@pytest.mark.parametrize("harm", ["missing", "garbage"])
def test_events_are_found_anew_where_the_overlay_is_lost(cli, two_events, harm):
    (two_events / "overlay.mp4").unlink()
    if harm == "garbage":
        (two_events / "overlay.mp4").write_bytes(b"no video" * 99)
    outcome = cli("events", two_events, "--event-threshold", 0.3, "--json")
    assert (outcome.status, outcome.json["events"]) == (0, [])
    assert json.loads((two_events / "summary.json").read_text())["events"] == 0
    assert "0 events, found" in (two_events / "report.html").read_text()


def test_a_truth_of_other_frames_is_refused(cli, short, tmp_path):
    truth = tmp_path / "truth"
    truth.mkdir()
    Image.new("L", (32, 24)).save(truth / "gt001001.png")
    outcome = cli("detect", short, "--out", tmp_path / "out", "--groundtruth", truth)
    assert refused(outcome, "None of the 6 frames of short has a truth")
    assert not (tmp_path / "out").exists()


def test_a_stream_that_is_stopped_gives_what_was_found_so_far(cli, tmp_path, monkeypatch):
    frames = moving_digits(N, (HEIGHT, WIDTH))[0]

    class Stopped(type(open_video(frames))):
        def __iter__(self):
            yield from self.at(range(N - 5))
            raise KeyboardInterrupt

    stream = open_video(frames)
    stream.__class__, stream.n_frames = Stopped, None
    monkeypatch.setattr("sfumato.jobs.detection.open_video", lambda source: stream)
    # The stream itself goes on longer than the beginning that is learned from.
    monkeypatch.setattr("sfumato.video.detector.LEARNING_SECONDS", 0.5)
    outcome = cli("detect", "7", "--out", tmp_path / "out", "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["frames"] == N - 5
    assert (tmp_path / "out" / "report.html").exists()


def test_two_videos_give_a_folder_each_and_a_page_that_leads_to_both(cli, short, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(short, other)
    out = tmp_path / "out"
    outcome = cli("detect", short, other, "--out", out, "--json")
    assert outcome.status == 0, outcome.err
    assert [video["video"] for video in outcome.json["videos"]] == ["short", "other"]
    page = (out / "report.html").read_text()
    for name in ("short", "other"):
        assert {path.name for path in (out / name).iterdir()} == FILES
        assert f'<a href="{name}/report.html">{name}</a>: 6 frames, 0 events' in page


def test_videos_of_one_name_get_folders_of_different_names(cli, short, tmp_path):
    twin = tmp_path / "elsewhere" / "short"
    shutil.copytree(short, twin)
    out = tmp_path / "out"
    assert cli("detect", short, twin, "--out", out, "--method", "median").status == 0
    assert {path.name for path in out.iterdir()} == {"1-short", "2-short", "report.html"}


def test_folders_are_named_by_files_and_never_by_addresses(tmp_path, monkeypatch):
    inside = tmp_path / "home" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    videos = ("..", "rtsp://user:secret@host/1", "0")
    names = [folder.name for folder in result_folders(videos, tmp_path / "out")]
    assert names == ["home", "video2", "video3"]


def test_a_setting_given_with_a_model_counts_even_if_it_is_the_usual_one(
    cli, clip, detected, tmp_path
):
    found = {}
    source = detected[0]
    for threshold in (0.9, 0.5):
        out = tmp_path / str(threshold)
        words = ("detect", clip[0], "--model", source, "--threshold", threshold, "--out", out)
        assert cli(*words).status == 0
        found[threshold], source = load(out).threshold, out
    assert found == {0.9: 0.9, 0.5: 0.5}


def test_a_detector_is_no_model_of_rows(cli, detected):
    model, x = detected[0] / "model", detected[0] / "x.npy"
    for words in (
        ("evaluate", model, "--json"),
        ("transform", model, "digits", "--out", x),
        ("sample", model, "--out", x),
    ):
        assert refused(cli(*words), "holds a ChangeDetector, which is no model of rows")
    assert not x.exists()


def refused(outcome, sentence):
    assert (outcome.status, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("Error: ")
    assert sentence in line
    return True


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("none.mp4",), "none.mp4 does not exist"),
        (("empty",), "holds no images"),
        (("text.mp4",), "is not a video that OpenCV can read"),
        (("short", "--method", "median", "--adapt"), "median takes no --adapt."),
        (("short", "--method", "mog2", "--min-area", 3), "mog2 takes no --min-area."),
        (("short", "--method", "knn", "--model", "empty"), "knn takes no --model."),
        (("short", "--model", "empty"), "empty"),
        (("short", "--groundtruth", "none"), "none is not a folder"),
        (("short", "--groundtruth", "empty"), "empty holds no images"),
        (("short", "--roi", "none.png"), "none.png"),
        (("short", "--roi", "wide.png"), "region of interest is 40 x 24 pixels; the frames are"),
        (("short", "--background", "wide.png"), "background has shape (24, 40, 3)"),
        (("short", "--event-threshold", 0), "threshold must be"),
        (("short", "--merge", -1), "merge_window must be"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_no_detection(
    cli, short, tmp_path, monkeypatch, words, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("It was a dark and stormy night.\n" * 99)
    Image.new("RGB", (40, 24)).save("wide.png")
    assert refused(cli("detect", *words, "--out", "out"), sentence)
    assert not (tmp_path / "out" / "scores.csv").exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--roi", "region of interest is 40 x 24 pixels"),
        ("--groundtruth", "bring them to one size"),
    ],
)
def test_what_fails_at_the_first_frame_is_named_and_not_the_clip_it_leaves_empty(
    cli, short, tmp_path, option, sentence
):
    (tmp_path / "wide").mkdir()
    Image.new("L", (40, 24), 255).save(tmp_path / "wide" / "gt000000.png")
    wide = tmp_path / "wide" / ("gt000000.png" if option == "--roi" else "")
    words = ("detect", short, "--out", tmp_path / "out", "--method", "median", option, wide)
    assert refused(cli(*words), sentence)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("short", "--method", "mean"), "'mean' is not one of 'sfumato', 'median', 'mog2', 'knn'"),
        (("short", "--threshold", "1.5"), "1.5 is not in the range"),
        (("short", "--max-area", "0"), "0 is not in the range"),
        ((), "Missing argument 'VIDEO...'"),
    ],
)
def test_wrong_usage_is_status_2_and_makes_nothing(
    cli, tmp_path, monkeypatch, capfd, words, sentence
):
    monkeypatch.chdir(tmp_path)
    outcome = cli("detect", *words, "--out", "out")
    assert outcome.status == 2
    assert sentence in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_events_finds_them_anew_by_other_rules_without_the_video(cli, detected, tmp_path):
    (tmp_path / "scores.csv").write_bytes((detected[0] / "scores.csv").read_bytes())
    scores = read_scores(tmp_path / "scores.csv")
    # No digits cover half of the frame, and some cover a twentieth.
    for threshold, least in ((0.5, 0), (0.05, 1)):
        outcome = cli("events", tmp_path, "--event-threshold", threshold, "--json")
        assert outcome.status == 0, outcome.err
        expected = find_events(scores, EventRules(threshold))
        assert len(expected) == least
        assert [event["start"] for event in outcome.json["events"]] == [e.start for e in expected]
        assert len(json.loads((tmp_path / "events.json").read_text())) == least
        assert len((tmp_path / "events.csv").read_text().splitlines()) == 1 + least
    outcome = cli("events", tmp_path, "--event-threshold", 0.05, "--min-length", 30)
    assert (outcome.status, outcome.out) == (0, "0 events\n")


def test_events_of_a_folder_without_a_detection_are_refused(cli, tmp_path):
    assert refused(cli("events", tmp_path), "scores.csv")
    assert list(tmp_path.iterdir()) == []
