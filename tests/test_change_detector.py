"""The change detector on clips with an exact truth, and on clips that are hardly any."""

from copy import deepcopy
from itertools import count

import numpy as np
import pytest

from sfumato import load
from sfumato.data import DataError, Frame, Video, moving_digits, open_video
from sfumato.metrics import cdnet_scores
from sfumato.video import BackgroundModel, ChangeDetector, EventRules, Subtraction, find_events
from sfumato.video.detector import LEARNING_SECONDS

SIZE = (60, 80)
# A red square of 16 x 16 pixels; the model smooths by one pixel, so it may grow by one each side.
SQUARE = (slice(20, 36), slice(30, 46))
LEAST, MOST = 14**2, 19**2


def picture(size=SIZE):
    rows, columns = np.mgrid[: size[0], : size[1]]
    blue = 120 + 40 * np.sin(columns / 5) * np.cos(rows / 7)
    return np.stack([60 + columns, 150 - rows, blue], axis=2)


def filmed(n, size=SIZE, seed=0, noise=2.0):
    """Return n frames of an empty scene as a camera with noise would give them."""
    frames = picture(size) + np.random.default_rng(seed).normal(0, noise, (n, *size, 3))
    return np.rint(frames).clip(0, 255).astype(np.uint8)


def with_square(frames, place=SQUARE):
    frames = frames.copy()
    frames[:, *place] = (250, 40, 40)
    return frames


class Stream(Video):
    """An array that goes by once and does not say how long it is."""

    name, n_frames = "stream", None

    def __init__(self, frames, frame_rate=5.0):
        self.frame_rate, self.size = frame_rate, frames.shape[1:3]
        self._images = iter(frames)
        self._index = count()

    def __iter__(self):
        for image in self._images:
            i = next(self._index)
            yield self._frame(i, i / self.frame_rate, image)

    def at(self, indices):
        raise DataError("a stream only goes on.")


@pytest.fixture(scope="module")
def clip():
    return moving_digits(60, size=SIZE)


@pytest.fixture(scope="module")
def detector(clip):
    return ChangeDetector().fit(clip[0])


@pytest.fixture(scope="module")
def empty():
    """Return a detector that was fitted to an empty scene of 30 frames."""
    return ChangeDetector().fit(filmed(30))


def like(fitted, **settings):
    """Return a detector with other settings and the same model, without a second fit."""
    other = ChangeDetector(**settings)
    other.model_ = deepcopy(fitted.model_)
    other._settle()
    return other


# How good it is.


@pytest.fixture(scope="module")
def larger():
    """Return a clip, its truth and how well it is found."""
    frames, truth = moving_digits(120, size=(90, 120))
    return frames, truth, cdnet_scores(ChangeDetector().fit(frames).predict(frames), truth)


def test_moving_digits_are_found(larger):
    # F is 0.90 when this is written: nothing is missed, and the masks are a pixel wider.
    assert larger[2]["f_measure"] > 0.85
    assert larger[2]["recall"] > 0.98


def test_moving_digits_are_found_better_than_by_the_temporal_median(larger):
    frames, truth, ours = larger
    median = cdnet_scores(Subtraction("median").fit(frames).predict(frames), truth)
    assert ours["f_measure"] > median["f_measure"]


def test_an_empty_scene_has_no_objects_and_a_square_is_one(empty):
    frames = with_square(filmed(3, seed=1))
    (detection, *_) = empty.detect(frames)
    assert LEAST <= detection.mask.sum() <= MOST
    left, top, width, height = detection.score.box
    assert (abs(left - 30), abs(top - 20), abs(width - 16), abs(height - 16)) <= (1, 1, 2, 2)
    assert detection.score.score == detection.mask.mean() == detection.score.area / 4800
    assert not empty.predict(filmed(5, seed=2)).any()


def test_events_are_when_the_square_is_there(empty):
    frames = filmed(50, seed=1)
    frames[20:35] = with_square(frames[20:35])
    detector = like(empty, rules=EventRules(threshold=0.01))
    (event,) = detector.events(detector.score_frames(frames))
    assert (event.first_frame, event.last_frame) == (20, 34)
    assert (event.start, event.end) == (0.8, 34 / 25)


# What stays the same.


@pytest.mark.parametrize("settings", [{}, {"adapt": True, "memory": 1.0, "absorb_after": 0.2}])
def test_detecting_twice_gives_the_same(clip, detector, settings):
    again = like(detector, **settings)
    first = again.predict(clip[0][:40])
    np.testing.assert_array_equal(again.predict(clip[0][:40]), first)
    # Adaptation does change something, or else it could not leak.
    assert np.array_equal(detector.predict(clip[0][:40]), first) == (not settings)


def test_the_scores_are_finite_log_odds_that_agree_with_the_masks(clip, detector):
    every = like(detector, min_area=0)
    scores = every.score(clip[0])
    assert scores.shape == (60, *SIZE)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores > 0, every.predict(clip[0]))
    strict = like(detector, min_area=0, threshold=0.9)
    np.testing.assert_array_equal(scores > np.log(9), strict.predict(clip[0]))


def test_the_masks_are_the_models_without_the_smallest_objects(clip, detector):
    frames = clip[0]
    mask, raw = detector.predict(frames), detector.model_.predict(frames)
    assert not (mask & ~raw).any()
    np.testing.assert_array_equal(like(detector, min_area=0).predict(frames), raw)


def test_a_saved_model_gives_the_same_masks(clip, detector, tmp_path):
    detector.model_.save(tmp_path / "model")
    loaded = like(detector)
    loaded.model_ = load(tmp_path / "model")
    loaded._settle()
    np.testing.assert_array_equal(loaded.predict(clip[0]), detector.predict(clip[0]))


def test_a_saved_detector_goes_on_where_it_was(empty, tmp_path):
    roi = np.ones(SIZE, np.uint8)
    roi[:10] = 0
    settings = {"roi": roi, "min_area": 20, "background": np.rint(picture()).astype(np.uint8)}
    model, rules = BackgroundModel(coupling=4.0), EventRules(threshold=0.01)
    detector = ChangeDetector(model=model, rules=rules, **settings).fit(filmed(20))
    darker = (filmed(30, seed=1) * 0.95).astype(np.uint8)
    detector.update(darker)
    detector.save(tmp_path)
    loaded = load(tmp_path)
    assert type(loaded) is ChangeDetector
    assert loaded.rules == rules
    assert loaded.model.get_params() == model.get_params()
    for name, value in settings.items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    # The background has followed since the fit, and that is kept.
    further = with_square(darker[:3])
    np.testing.assert_array_equal(loaded.update(further), detector.update(further))


def test_settings_from_numpy_are_saved(empty, tmp_path):
    flipped = np.rint(picture()).astype(np.uint8)[..., ::-1]
    given = {"min_area": np.int64(20), "threshold": np.float32(0.5), "background": flipped}
    like(empty, **given).save(tmp_path)
    loaded = load(tmp_path)
    assert (loaded.min_area, loaded.threshold) == (20, 0.5)
    np.testing.assert_array_equal(loaded.background, flipped)


def test_a_save_that_fails_leaves_the_earlier_one(empty, tmp_path):
    empty.save(tmp_path)
    with pytest.raises(TypeError):
        like(empty, min_area=object()).save(tmp_path)
    assert load(tmp_path).min_area == empty.min_area


def test_a_saved_detector_is_a_detector_and_no_background_model(clip, detector, tmp_path):
    detector.save(tmp_path)
    loaded = load(tmp_path)
    assert type(loaded) is ChangeDetector
    np.testing.assert_array_equal(loaded.predict(clip[0]), detector.predict(clip[0]))


def test_settings_of_the_model_are_those_that_were_given(clip):
    model = BackgroundModel(max_rank=0, coupling=0.0)
    detector = ChangeDetector(model).fit(clip[0][:20])
    assert detector.model_.get_params() == model.get_params()
    assert detector.model_ is not model
    assert not hasattr(model, "model_")


# Videos that are hardly any.


@pytest.mark.parametrize(
    "frames",
    [
        filmed(1),
        filmed(2),
        filmed(12, (61, 83)),
        filmed(12)[..., 0],
        filmed(12)[..., :1],
        filmed(12) / 255.0,
        np.full((12, 20, 30), 90, np.uint8),
        np.zeros((3, 1, 1), np.uint8),
        np.full((4, 2, 3, 3), 255, np.uint8),
    ],
    ids=["one", "two", "odd", "grey", "channel", "floats", "constant", "pixel", "tiny"],
)
def test_where_nothing_changes_nothing_is_found_and_all_is_finite(frames):
    detector = ChangeDetector().fit(frames)
    shape = frames.shape[:3]
    mask = detector.predict(frames)
    assert (mask.shape, mask.dtype, mask.any()) == (shape, bool, False)
    assert np.isfinite(detector.score(frames)).all()
    terms = detector.model_.terms(frames)
    assert all(np.isfinite(term).all() for term in terms.values())
    assert detector.model_.background_.shape == (*shape[1:], 3)


def test_a_grey_video_is_found_in_as_its_coloured_copy():
    grey = filmed(12)[..., 0]
    grey[6:, 10:20, 30:40] = 5
    coloured = np.repeat(grey[..., None], 3, axis=3)
    masks = [ChangeDetector().fit(frames).predict(frames) for frames in (grey, coloured)]
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("other", [(30, 40), (61, 80), (120, 160)])
def test_frames_of_another_size_are_refused(empty, other):
    with pytest.raises(DataError, match=f"{other[1]} x {other[0]} pixels where .* 80 x 60"):
        empty.predict(filmed(1, other))


@pytest.mark.parametrize("method", ["median", "mog2", "knn"])
def test_classical_methods_refuse_frames_of_another_size_too(method):
    pytest.importorskip("cv2")
    with pytest.raises(DataError, match="40 x 30"):
        Subtraction(method).fit(filmed(3)).predict(filmed(1, (30, 40)))


@pytest.mark.parametrize("method", ["median", "mog2", "knn"])
def test_classical_methods_find_the_square(method):
    pytest.importorskip("cv2")
    # Long before it appears, and in few frames: even the median does not learn it.
    frames = filmed(40)
    frames[30:] = with_square(frames[30:])
    masks = Subtraction(method).fit(frames).predict(frames)
    assert not masks[20:30].any()
    assert LEAST <= masks[30].sum() <= MOST


@pytest.mark.parametrize("method", ["median", "mog2", "knn"])
def test_classical_methods_find_no_event_where_nothing_changes(method):
    pytest.importorskip("cv2")
    frames = np.full((12, 24, 32, 3), 100, np.uint8)
    # What a method finds while it is not ready yet is no event, whatever its masks are.
    scores = [detection.score for detection in Subtraction(method).fit(frames).detect(frames)]
    assert find_events(scores, EventRules()) == []


# What is looked for.


def test_outside_of_the_region_nothing_is_found_and_shares_are_of_the_region(empty):
    frames = with_square(filmed(3, seed=1))
    roi = np.zeros(SIZE, np.uint8)
    roi[:, 40:] = 255
    whole = empty.predict(frames)
    (detection, *_) = like(empty, roi=roi).detect(frames)
    np.testing.assert_array_equal(detection.mask, whole[0] & (roi > 0))
    assert detection.score.score == detection.score.area / (60 * 40)
    # A picture of the region in colour is the same region.
    colour = like(empty, roi=np.repeat(roi[..., None], 3, axis=2))
    np.testing.assert_array_equal(colour.predict(frames)[0], detection.mask)


def test_a_region_of_another_size_is_refused(empty):
    with pytest.raises(DataError, match="region of interest is 40 x 30 pixels; the frames are 80"):
        ChangeDetector(roi=np.ones((30, 40))).fit(filmed(2))


def test_objects_are_found_between_the_limits_of_their_area(empty):
    frames = with_square(filmed(1, seed=1))
    frames[:, 48:54, 60:66] = (250, 40, 40)
    both = empty.predict(frames)[0]
    large, small = both[:44], both[44:]
    assert LEAST <= large.sum() <= MOST
    assert 16 <= small.sum() <= 81
    no_small = like(empty, min_area=100).predict(frames)[0]
    no_large = like(empty, max_area=100).predict(frames)[0]
    np.testing.assert_array_equal(no_small[:44], large)
    np.testing.assert_array_equal(no_large[44:], small)
    assert not no_small[44:].any()
    assert not no_large[:44].any()
    assert not like(empty, min_area=82, max_area=100).predict(frames).any()


# A background that is given, and one that changes.


def test_an_object_that_never_leaves_is_found_before_a_background_set_by_hand():
    frames = with_square(filmed(30))
    background = picture().round().astype(np.uint8)
    assert not ChangeDetector().fit(frames).predict(frames).any()
    masks = ChangeDetector(background=background).fit(frames).predict(frames)
    areas = masks.sum(axis=(1, 2))
    assert LEAST <= areas.min() <= areas.max() <= MOST
    assert not masks[:, :16].any()


def test_a_background_of_another_size_is_refused():
    with pytest.raises(DataError, match=r"background has shape \(30, 40, 3\)"):
        ChangeDetector(background=np.zeros((30, 40, 3), np.uint8)).fit(filmed(2))


@pytest.mark.parametrize("gain", [0.6, 1.3])
@pytest.mark.parametrize("n_fitted", [20, 40])
def test_a_sudden_change_of_the_light_is_said_once_and_leaves_nothing(gain, n_fitted):
    frames = filmed(40)
    frames[20:] = (frames[20:] * gain).clip(0, 255).astype(np.uint8)
    scores = ChangeDetector().fit(frames[:n_fitted]).score_frames(frames)
    assert [score.index for score in scores if score.light_change] == [20]
    # Less than a hundredth of the frame.
    assert max(score.score for score in scores) < 0.01


def test_a_change_of_the_light_is_explained_where_a_channel_is_the_same_everywhere():
    frames = filmed(30)
    frames[..., 2] = filmed(30, seed=1)[:, :1, :1, 0]
    detector = ChangeDetector().fit(frames)
    dark = (frames * 0.6).astype(np.uint8)
    assert detector.predict(dark).mean() < 0.01


def test_after_a_change_of_the_light_an_object_is_still_found(empty):
    frames = filmed(30, seed=1)
    frames[20:] = with_square(frames[20:])
    frames[10:] = (frames[10:] * 0.6).astype(np.uint8)
    areas = [detection.score.area for detection in empty.detect(frames)]
    assert max(areas[10:20]) == 0
    assert LEAST <= min(areas[20:]) <= max(areas[20:]) <= MOST


def test_a_large_object_is_no_change_of_the_light(empty):
    frames = filmed(4, seed=1)
    # Half of the frame.
    frames[:, :, 40:] = np.random.default_rng(0).integers(0, 256, (4, 60, 40, 3))
    for detection in empty.detect(frames):
        assert not detection.score.light_change
        assert detection.mask[:, 45:].mean() > 0.9
        assert detection.mask[:, :35].mean() < 0.1


@pytest.mark.parametrize(("seconds", "rate"), [(1.0, 10.0), (3.0, 5.0)])
def test_what_stands_becomes_background_after_so_many_seconds_and_not_before(empty, seconds, rate):
    n = round(seconds * rate)
    frames = filmed(10 + 2 * n, seed=1)
    frames[5:] = with_square(frames[5:])
    detector = like(empty, absorb_after=seconds)
    areas = detector.update(frames, rate).sum(axis=(1, 2))
    assert not areas[:5].any()
    # It has stood for n frames once n more have come, and is absorbed with the next at the latest.
    assert areas[5 : 5 + n].min() >= LEAST
    assert areas[5 + n + 2 :].max() <= 0.05 * LEAST


def test_what_stands_is_absorbed_by_a_background_that_does_not_adapt(empty):
    frames = filmed(40, seed=3)
    frames[5:] = with_square(frames[5:])
    detector = like(empty, absorb_after=0.4)
    areas = [detection.score.area for detection in detector.detect(frames)]
    # At 25 frames a second it has stood for 0.4 s after ten frames more.
    assert min(areas[5:14]) >= LEAST
    assert max(areas[18:]) == 0


@pytest.mark.parametrize("settings", [{"memory": 0.0}, {"absorb_after": 0.0}, {"absorb_after": -5}])
def test_times_must_be_above_zero(empty, settings):
    with pytest.raises(ValueError, match="must be above 0 seconds"):
        like(empty, **settings).predict(filmed(2))


def test_a_files_own_frame_rate_counts_where_a_stream_is_updated(empty):
    frames = filmed(12, seed=3)
    frames[2:] = with_square(frames[2:])
    detector = like(empty, absorb_after=1.0)
    # Ten frames are two seconds at five a second, and 0.4 at 25.
    assert detector.update(open_video(frames, frame_rate=5.0))[-1].sum() == 0


def test_a_fitted_detector_follows_a_stream_without_learning_it_again(empty):
    frames = filmed(60, seed=2)
    slow = (frames * np.linspace(1, 0.97, 60)[:, None, None, None]).astype(np.uint8)
    detector = like(empty, memory=2.0)
    before = detector.model_.model_.mean.clone()
    assert len(list(detector.stream(Stream(slow, frame_rate=25.0)))) == 60
    after = detector.model_.model_.mean
    assert not after.equal(before)
    assert float(after.mean()) < float(before.mean()) - 0.5


def test_what_stands_stays_foreground_where_nothing_is_absorbed(empty):
    areas = like(empty).update(with_square(filmed(40, seed=1)), 5.0).sum(axis=(1, 2))
    assert areas.min() >= LEAST


def test_an_object_that_moves_is_never_absorbed(empty):
    frames = filmed(30, seed=1)
    for i, frame in enumerate(frames):
        frame[20:36, 2 * i : 2 * i + 16] = (250, 40 + 40 * (i % 2), 40)
    areas = like(empty, absorb_after=0.5).update(frames, 10.0).sum(axis=(1, 2))
    assert areas.min() >= LEAST


def test_an_adapting_background_follows_a_slow_change_that_a_frozen_one_does_not(empty):
    frames = filmed(100, seed=1).astype(float)
    # Two fifths of the frame, which is no light of all of it: 30 levels brighter at the end.
    frames[:, :, :32] += 0.3 * np.arange(100)[:, None, None, None]
    frames = frames.clip(0, 255).astype(np.uint8)
    frozen = like(empty).predict(frames)
    adapting = like(empty, adapt=True, memory=1.0).predict(frames)
    assert frozen[-10:].mean() > 0.3
    assert adapting.mean() < 0.01


def test_update_goes_on_where_it_was_and_detect_starts_anew(empty):
    frames = with_square(filmed(30, seed=1))
    detector = like(empty, absorb_after=1.0)
    first, second = detector.update(frames[:15], 10.0), detector.update(frames[15:], 10.0)
    assert first[0].sum() >= LEAST
    assert second[-1].sum() <= 0.05 * LEAST
    assert detector.predict(frames[:1])[0].sum() >= LEAST


# Streams.


def test_a_stream_is_learned_from_its_beginning_and_no_frame_is_lost():
    # 20 s at 5 frames a second are 100 frames, and one that ends them.
    n = round(5 * LEARNING_SECONDS) + 21
    frames = filmed(n, (40, 50))
    frames[-10:] = with_square(frames[-10:], (slice(10, 26), slice(10, 26)))
    detector = ChangeDetector()
    detections = list(detector.stream(Stream(frames)))
    assert [detection.score.index for detection in detections] == list(range(n))
    areas = np.array([detection.score.area for detection in detections])
    assert not areas[:-10].any()
    assert LEAST <= areas[-10:].min() <= areas[-10:].max() <= MOST
    assert detector.model_.size_ == (40, 50)


def test_a_stream_shorter_than_its_beginning_is_learned_from_what_there_is():
    detections = list(ChangeDetector().stream(Stream(filmed(7))))
    assert [detection.score.area for detection in detections] == [0] * 7


def test_a_stream_is_not_fitted_to_and_an_empty_one_is_refused():
    with pytest.raises(DataError, match="stream has no end"):
        ChangeDetector().fit(Stream(filmed(3)))
    with pytest.raises(DataError, match="no temporal median"):
        Subtraction("median").fit(Stream(filmed(3)))
    with pytest.raises(DataError, match="stream sent no frames"):
        list(ChangeDetector().stream(Stream(filmed(0))))


def test_a_detection_keeps_the_frame_it_is_of(empty):
    video = open_video(filmed(2, seed=1), frame_rate=10)
    for detection, frame in zip(empty.detect(video), video, strict=True):
        assert isinstance(detection.frame, Frame)
        assert (detection.score.index, detection.score.time) == (frame.index, frame.time)
        np.testing.assert_array_equal(detection.frame.image, frame.image)


def test_an_unknown_classical_method_is_refused():
    with pytest.raises(ValueError, match="must be one of median, mog2, knn, not 'mean'"):
        Subtraction("mean").fit(filmed(2))
