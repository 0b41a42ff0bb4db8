"""Video in and out: every source gives the same frames, and every fault one clear sentence."""

import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from sfumato.data import (
    ClipWriter,
    DataError,
    encode_jpeg,
    moving_digits,
    open_video,
    read_groundtruth,
    write_image,
)
from sfumato.data.video import _Clock


def blocks(n=6, size=(24, 32)):
    """Return smooth frames whose level tells their index; compression moves them by little."""
    frames = np.full((n, *size, 3), 60, np.uint8)
    frames += np.arange(0, 10 * n, 10, dtype=np.uint8)[:, None, None, None]
    frames[..., 0] += 40
    return frames


def folder_of(path, images, name="in{:06d}.png", first=1):
    path.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images, first):
        Image.fromarray(image).save(path / name.format(i))
    return path


@pytest.fixture
def cv2():
    return pytest.importorskip("cv2")


@pytest.fixture
def clip(cv2, tmp_path):
    path = tmp_path / "clip.mp4"
    with ClipWriter(path, 10, (24, 32)) as writer:
        for frame in blocks():
            writer.write(frame)
    return path


def motion_jpeg(cv2, path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


# Arrays and folders.


def test_an_array_gives_its_frames_at_an_even_rate():
    frames = blocks()
    video = open_video(frames, frame_rate=5)
    assert (video.name, video.n_frames, video.size) == ("array", 6, (24, 32))
    read = list(video)
    np.testing.assert_array_equal([frame.image for frame in read], frames)
    assert [frame.time for frame in read] == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert [frame.index for frame in video] == [0, 1, 2, 3, 4, 5]  # from the start again
    assert video.number(4) == 5
    assert open_video(video) is video


@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 4, 6, 1)])
def test_grey_arrays_become_three_equal_channels(shape):
    grey = np.arange(48, dtype=np.uint8).reshape(shape)
    for frame in open_video(grey):
        assert frame.image.shape == (4, 6, 3)
        for channel in np.moveaxis(frame.image, 2, 0):
            np.testing.assert_array_equal(channel, grey.reshape(2, 4, 6)[frame.index])


def test_floats_in_the_unit_interval_are_scaled_to_255():
    frames = np.full((1, 2, 2), 0.5, np.float32)
    frames[0, 0] = [0, 1]
    image = next(iter(open_video(frames))).image
    assert image.dtype == np.uint8
    assert image[..., 0].tolist() == [[0, 255], [128, 128]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4, 6), np.uint8), "no frames"),
        (np.zeros((4, 6), np.uint8), r"shape \(4, 6\)"),
        (np.zeros((2, 4, 6, 4), np.uint8), r"shape \(2, 4, 6, 4\)"),
        (np.zeros((2, 4, 6), np.int64), "int64"),
        (np.full((2, 4, 6), 1.5), "outside"),
        (np.full((2, 4, 6), np.nan), "outside"),
    ],
)
def test_an_array_that_is_no_video_is_refused(array, message):
    with pytest.raises(DataError, match=message):
        open_video(array)


def test_a_folder_is_read_in_natural_order_with_the_numbers_of_its_files(tmp_path):
    frames = blocks(12)
    folder = folder_of(tmp_path / "highway", frames, "in{}.png", first=470)
    video = open_video(folder)
    assert (video.name, video.n_frames, video.size) == ("highway", 12, (24, 32))
    assert video.frame_rate == 25
    np.testing.assert_array_equal([frame.image for frame in video], frames)
    assert [video.number(frame.index) for frame in video.at([0, 11])] == [470, 481]


def test_files_without_numbers_are_numbered_from_one(tmp_path):
    for name in "ab":
        Image.fromarray(blocks()[0]).save(tmp_path / f"{name}.png")
    assert [open_video(tmp_path).number(i) for i in (0, 1)] == [1, 2]


def test_a_cdnet_folder_is_read_from_its_subfolder_input(tmp_path):
    folder_of(tmp_path / "office" / "input", blocks())
    (tmp_path / "office" / "temporalROI.txt").write_text("1 6")
    video = open_video(tmp_path / "office")
    assert (video.name, video.n_frames) == ("office", 6)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((4, 6), 77, np.uint8), 77),
        # 65535 / 255 = 257: so 77 * 257 is 77 of 255, and 128 more still rounds to it.
        (np.full((4, 6), 77 * 257 + 128, np.uint16), 77),
    ],
    ids=["grey", "16-bit"],
)
def test_images_of_other_kinds_become_8_bit_colour(tmp_path, image, expected):
    (frame,) = open_video(folder_of(tmp_path, [image]))
    np.testing.assert_array_equal(frame.image, np.full((4, 6, 3), expected, np.uint8))


def test_transparent_pixels_of_a_frame_are_seen_on_white(tmp_path):
    with pytest.warns(UserWarning, match="are read as white"):
        (frame,) = open_video(folder_of(tmp_path, [np.full((4, 6, 4), 77, np.uint8)]))
    # 77 / 255 of 77, and the rest of 255.
    np.testing.assert_array_equal(frame.image, np.full((4, 6, 3), 201, np.uint8))


def test_a_frame_of_another_size_is_named_when_it_is_reached(tmp_path):
    odd = np.zeros((20, 32, 3), np.uint8)
    frames = iter(open_video(folder_of(tmp_path, [*blocks(2), odd])))
    assert [next(frames).index, next(frames).index] == [0, 1]
    with pytest.raises(DataError, match="frame 2 is 32 x 20 pixels where the first is 32 x 24"):
        next(frames)


def test_a_corrupt_image_is_named(tmp_path):
    folder_of(tmp_path, blocks(2))
    (tmp_path / "in000003.png").write_bytes((tmp_path / "in000002.png").read_bytes()[:60])
    frames = iter(open_video(tmp_path))
    assert [next(frames).index, next(frames).index] == [0, 1]
    with pytest.raises(DataError, match=r"in000003\.png cannot be read as an image"):
        next(frames)


@pytest.mark.parametrize("indices", [[2, 1], [1, 1], [-1], [6]])
def test_indices_must_ascend_within_the_video(indices):
    with pytest.raises(DataError, match=r"ascend|from 0 to 5"):
        open_video(blocks()).at(indices)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_an_impossible_frame_rate_is_refused(rate):
    with pytest.raises(DataError, match="frame_rate"):
        open_video(blocks(), rate)


def test_what_is_no_source_at_all_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_video(tmp_path / "none.mp4")
    with pytest.raises(DataError, match="holds no images"):
        open_video(tmp_path)
    with pytest.raises(DataError, match="one image"):
        open_video(folder_of(tmp_path, blocks(1)) / "in000001.png")
    with pytest.raises(DataError, match="a list is no video"):
        open_video([1, 2])


def test_without_opencv_files_say_what_to_install_and_folders_still_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "clip.mp4").write_bytes(b"anything")
    needs = r'Reading video needs OpenCV: pip install "sfumato\[video\]"\.'
    with pytest.raises(DataError, match=needs):
        open_video(tmp_path / "clip.mp4")
    assert len(list(open_video(folder_of(tmp_path / "clip", blocks(2))))) == 2
    assert len(list(open_video(blocks(2)))) == 2


# Files and streams.


def test_a_clip_written_is_read_again(clip):
    video = open_video(clip)
    assert (video.name, video.n_frames, video.size) == ("clip.mp4", 6, (24, 32))
    assert video.frame_rate == pytest.approx(10)
    read = list(video)
    # Flat frames survive compression to a few grey levels; swapped channels would differ by 40.
    for frame, original in zip(read, blocks(), strict=True):
        assert abs(frame.image.astype(int) - original).max() <= 6
    assert [frame.time for frame in read] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("longest", [20_000, 1], ids=["in order", "by seeking"])
def test_picked_frames_are_those_of_the_whole_reading(clip, monkeypatch, longest):
    monkeypatch.setattr("sfumato.data.video.LONGEST_IN_ORDER", longest)
    monkeypatch.setattr("sfumato.data.video.SHORTEST_SEEK", 1)
    video = open_video(clip)
    whole = list(video)
    for frame in video.at([1, 2, 5]):
        np.testing.assert_array_equal(frame.image, whole[frame.index].image)
        assert frame.time == pytest.approx(whole[frame.index].time)


def test_a_frame_rate_given_overrides_the_stamps_of_a_file(clip):
    assert [frame.time for frame in open_video(clip, 2).at([0, 3])] == [0, 1.5]


def test_times_follow_the_stamps_and_step_evenly_where_these_stand_still():
    clock = _Clock(frame_rate=10, stamped=True)
    stamps = [0, 40, 300, 300, 0, 700]
    times = [clock.time(i, stamp) for i, stamp in enumerate(stamps)]
    assert times == pytest.approx([0, 0.04, 0.3, 0.4, 0.5, 0.7])
    unstamped = _Clock(frame_rate=10, stamped=True)
    assert [unstamped.time(i, 0) for i in (0, 3, 7)] == pytest.approx([0, 0.3, 0.7])


def test_odd_sizes_are_padded_by_their_edge(cv2, tmp_path):
    with ClipWriter(tmp_path / "odd.mp4", 10, (23, 31)) as writer:
        writer.write(blocks(1, (23, 31))[0])
    (frame,) = open_video(tmp_path / "odd.mp4")
    assert frame.image.shape == (24, 32, 3)
    assert abs(frame.image.astype(int) - blocks(1)[0]).max() <= 6


def test_nothing_has_the_final_name_before_the_clip_is_closed(cv2, tmp_path):
    path = tmp_path / "new.mp4"
    writer = ClipWriter(path, 10, (24, 32))
    writer.write(blocks()[0])
    assert not path.exists()
    writer.close()
    writer.close()
    assert [file.name for file in tmp_path.iterdir()] == ["new.mp4"]


def test_a_clip_that_fails_leaves_no_file(cv2, tmp_path):
    with (
        pytest.raises(DataError, match="a frame is uint8"),
        ClipWriter(tmp_path / "a.mp4", 10, (24, 32)) as writer,
    ):
        writer.write(blocks(1, (10, 10))[0])
    with pytest.raises(DataError, match="no frames"), ClipWriter(tmp_path / "b.mp4", 10, (24, 32)):
        pass
    with pytest.raises(DataError, match="mp4"):
        ClipWriter(tmp_path / "c.avi", 10, (24, 32))
    with pytest.raises(DataError, match="cannot be written"):
        ClipWriter(tmp_path / "none" / "d.mp4", 10, (24, 32))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_whole_video_is_refused(clip):
    whole = clip.read_bytes()
    # The index of an mp4 stands at its end.
    for content in (whole[: len(whole) // 2], b"not a video", b""):
        clip.write_bytes(content)
        with pytest.raises(DataError, match="is not a video that OpenCV can read"):
            open_video(clip)


def test_a_video_without_frames_is_refused(cv2, tmp_path):
    with pytest.raises(DataError, match="no frames"):
        open_video(motion_jpeg(cv2, tmp_path / "none.avi", []))


def test_a_truncated_video_ends_with_a_warning_that_counts(cv2, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 32, 3), np.uint8)
    path = motion_jpeg(cv2, tmp_path / "cut.avi", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = open_video(path)
    assert video.n_frames == 20
    read = []
    with pytest.warns(UserWarning, match=r"cut\.avi ends early: \d+ of the 20 frames") as caught:
        read.extend(video)
    # Half of the bytes, less what header and index take.
    assert 5 <= len(read) <= 12
    assert f" {len(read)} of" in str(caught[0].message)
    assert [frame.index for frame in video.at([0, 2])] == [0, 2]


def test_a_stream_goes_on_and_cannot_go_back(cv2, tmp_path):
    path = motion_jpeg(cv2, tmp_path / "live.avi", blocks())
    stream = open_video(f"file://{path}")
    assert (stream.n_frames, stream.size) == (None, (24, 32))
    first = next(iter(stream))
    rest = list(stream)
    assert [first.index, *(frame.index for frame in rest)] == [0, 1, 2, 3, 4, 5]
    assert [frame.time for frame in rest] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert abs(rest[-1].image.astype(int) - blocks()[-1]).max() <= 6
    with pytest.raises(DataError, match="only goes on"):
        stream.at([0])


def test_a_stream_that_is_not_there_is_refused_without_its_password(cv2):
    with pytest.raises(DataError, match=r"^localhost/none\.avi gives no frames") as caught:
        open_video("file://me:secret@localhost/none.avi")
    assert "secret" not in str(caught.value)


# Images out.


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_an_image_written_is_read_again(tmp_path, shape):
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_an_image_that_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(DataError, match="does not end in"):
        write_image(tmp_path / "a.txt", blocks()[0])
    with pytest.raises(DataError, match="an image is bool"):
        write_image(tmp_path / "a.png", np.zeros((4, 4), bool))
    with pytest.raises(DataError, match="cannot be written"):
        write_image(tmp_path / "none" / "a.png", blocks()[0])
    assert list(tmp_path.iterdir()) == []


def test_an_encoded_image_is_a_jpeg_of_that_size():
    image = Image.open(BytesIO(encode_jpeg(blocks()[0])))
    assert (image.format, image.size) == ("JPEG", (32, 24))
    assert abs(np.asarray(image).astype(int) - blocks()[0]).max() <= 6


# The clip made on the spot.


def test_moving_digits_are_where_the_masks_say_and_the_seed_decides():
    frames, masks = moving_digits(140, (60, 80), seed=1)
    assert (frames.shape, frames.dtype) == ((140, 60, 80, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((140, 60, 80), bool)
    np.testing.assert_array_equal(frames, moving_digits(140, (60, 80), seed=1)[0])
    assert (frames != moving_digits(140, (60, 80), seed=2)[0]).any()
    empty = np.median(frames[:20], axis=0)
    off = abs(frames - empty).max(axis=3)
    # The light drifts by 4 % (up to 10 levels from peak to zero, 20 to trough), noise has sd 3.
    assert off[~masks].max() <= 40
    assert np.mean(off[masks] > 40) > 0.9


def test_moving_digits_leave_the_first_frames_and_other_stretches_empty():
    _, masks = moving_digits(300, (60, 80))
    shown = masks.any(axis=(1, 2))
    assert not shown[:20].any()
    assert 0.5 < shown.mean() < 0.9
    # In and out for each of three acts.
    assert np.count_nonzero(np.diff(shown.astype(int)) == 1) >= 3


def test_moving_digits_move_by_a_few_pixels_from_frame_to_frame():
    _, masks = moving_digits(130, (60, 80), n_digits=1)
    columns = [np.flatnonzero(mask.any(axis=0)) for mask in masks if mask.any()]
    centres = np.array([c.mean() for c in columns if c[0] > 0 and c[-1] < 79])
    # About 2 per frame; a turn outside the view would jump.
    assert 0 < abs(np.diff(centres)).max() <= 5


# CDnet's ground truth.


def groundtruth(clip, labels, first=1):
    return folder_of(clip / "groundtruth", labels, "gt{:06d}.png", first)


def test_ground_truth_is_numbered_like_the_frames(tmp_path):
    labels = [np.full((4, 6), value, np.uint8) for value in (0, 50, 170)]
    folder = groundtruth(tmp_path, labels)
    folder_of(tmp_path / "input", blocks(3), "in{:06d}.png")
    truth, video = read_groundtruth(folder), open_video(tmp_path)
    assert truth.roi is None
    assert [video.number(i) for i in range(3)] == list(truth.frames)
    np.testing.assert_array_equal(truth.load(3), labels[2])
    assert read_groundtruth(tmp_path).frames == truth.frames
    with pytest.raises(DataError, match="frame 4 has no ground truth"):
        truth.load(4)


@pytest.mark.parametrize("home", [".", "groundtruth"])
def test_regions_in_time_and_space_are_honoured(tmp_path, home):
    labels = [np.full((4, 6), i, np.uint8) for i in range(10)]
    folder = groundtruth(tmp_path, labels, first=0)
    region = np.zeros((4, 6), np.uint8)
    region[1:, 2:] = 255
    Image.fromarray(region).save(tmp_path / home / "ROI.bmp")
    (tmp_path / home / "temporalROI.txt").write_text("3 6\n")
    # ROI.bmp beside the labels is an image without a number, and no frame.
    truth = read_groundtruth(folder)
    assert list(truth.frames) == [3, 4, 5, 6]
    assert truth.load(6)[0, 0] == 6
    np.testing.assert_array_equal(truth.roi, region > 0)


def test_ground_truth_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a folder"):
        read_groundtruth(tmp_path / "none")
    with pytest.raises(DataError, match="holds no images"):
        read_groundtruth(tmp_path)
    folder = groundtruth(tmp_path, [np.zeros((4, 6), np.uint8)])
    (tmp_path / "temporalROI.txt").write_text("7 9")
    with pytest.raises(DataError, match="no image whose number counts"):
        read_groundtruth(folder)
    (tmp_path / "temporalROI.txt").write_text("all")
    with pytest.raises(DataError, match="two whole numbers"):
        read_groundtruth(folder)
