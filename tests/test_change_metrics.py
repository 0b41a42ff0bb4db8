"""CDnet's measures: counted by hand, and against scikit-learn."""

from math import isnan

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from sfumato.metrics import Counts, cdnet_scores, count_pixels

ON, OFF = True, False


def test_shadow_is_background_and_outside_and_unknown_do_not_count():
    truth = np.array([[0, 50, 85, 170, 255]] * 2, np.uint8)
    mask = np.array([[ON] * 5, [OFF] * 5])
    # Each of the labels 0, 50 and 255 once on and once off.
    assert count_pixels(mask, truth) == Counts(tp=1, fp=2, fn=1, tn=2)


def test_only_pixels_above_zero_in_the_region_count():
    truth = np.array([[0, 255], [255, 0]])
    mask = np.array([[ON, ON], [OFF, OFF]])
    roi = np.array([[0, 255], [1, 0]], np.uint8)
    assert count_pixels(mask, truth, roi) == Counts(tp=1, fp=0, fn=1, tn=0)


def test_whole_numbers_are_foreground_above_127():
    truth = np.array([[255, 255, 255]], np.uint8)
    assert count_pixels(np.array([[0, 127, 128]], np.uint8), truth) == Counts(1, 0, 2, 0)


def test_truth_may_be_bool():
    assert count_pixels(np.array([[ON, ON]]), np.array([[ON, OFF]])) == Counts(1, 1, 0, 0)


def test_the_measures_are_those_computed_by_hand():
    measures = Counts(tp=30, fp=10, fn=20, tn=140).measures()
    expected = {
        "recall": 30 / 50,
        "specificity": 140 / 150,
        "fpr": 10 / 150,
        "fnr": 20 / 50,
        "pwc": 100 * 30 / 200,
        "precision": 30 / 40,
        "f_measure": 2 * 0.75 * 0.6 / (0.75 + 0.6),
    }
    assert list(measures) == list(expected)
    assert measures == pytest.approx(expected)


def test_the_measures_agree_with_scikit_learn_on_random_masks():
    rng = np.random.default_rng(0)
    truth, mask = rng.random((2, 40, 50)) < 0.3
    measures = count_pixels(mask, truth).measures()
    expected = precision_recall_fscore_support(truth.ravel(), mask.ravel(), average="binary")[:3]
    found = [measures[name] for name in ("precision", "recall", "f_measure")]
    assert found == pytest.approx(expected)


def test_a_clip_is_scored_by_its_counts_together_and_not_by_the_mean_of_frames():
    truths = [np.array([[255, 255, 255, 0]]), np.array([[255, 0, 0, 0]])]
    masks = [np.array([[ON, ON, ON, OFF]]), np.array([[OFF, OFF, OFF, OFF]])]
    scores = cdnet_scores(iter(masks), iter(truths))
    # 3 of 4 found: the mean over frames would be (1 + 0) / 2.
    assert scores["recall"] == 3 / 4
    assert scores["pwc"] == 100 / 8
    roi = np.array([[0, 0, 1, 1]])
    assert cdnet_scores(masks, truths, roi)["recall"] == 1


def test_without_any_foreground_recall_precision_and_f_are_undefined():
    measures = Counts(tp=0, fp=0, fn=0, tn=9).measures()
    assert all(isnan(measures[name]) for name in ("recall", "precision", "f_measure"))
    assert (measures["specificity"], measures["fpr"], measures["pwc"]) == (1, 0, 0)


@pytest.mark.parametrize("counts", [Counts(0, 5, 0, 4), Counts(0, 0, 5, 4)])
def test_a_ratio_over_nothing_is_zero_where_there_is_some_foreground(counts):
    measures = counts.measures()
    assert [measures[name] for name in ("recall", "precision", "f_measure")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("mask", "truth", "message"),
    [
        (np.zeros((2, 3), bool), np.zeros((3, 2), np.uint8), "one size"),
        (np.zeros((2, 3)), np.zeros((2, 3), np.uint8), "float64"),
        (np.zeros((2, 3), bool), np.ones((2, 3), np.uint8), "the label 1:"),
        (np.zeros((2, 3), bool), np.full((2, 3), 256), "from 0 to 255"),
        (np.zeros((2, 3), bool), np.zeros((2, 3)), "from 0 to 255"),
    ],
)
def test_what_cannot_be_counted_is_refused(mask, truth, message):
    with pytest.raises(ValueError, match=message):
        count_pixels(mask, truth)


def test_masks_and_truths_must_be_equally_many():
    frame = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError):
        cdnet_scores([frame], [frame, frame])
