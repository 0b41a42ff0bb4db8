"""Training steps recorded on a GPU: the same weights as step by step, or no recording at all."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sfumato import ELBO, IWAE, VAE, EarlyStopping, Optimizer, SemiAmortised, Trainer
from sfumato.noise import Noise
from sfumato.objectives import Binarized, FunctionObjective, as_objective, elbo
from sfumato.training import LocalEngine
from sfumato.training.recording import WARM_UP, RecordedStep, is_same

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
pytestmark = pytest.mark.filterwarnings("ignore:The code has collapsed")


def test_objectives_with_tensors_or_functions_of_their_own_are_never_the_same():
    weights = torch.ones(3)
    assert is_same(partial(elbo, weights), partial(elbo, weights))
    assert not is_same(partial(elbo, weights), partial(elbo, weights.clone()))
    assert not is_same(partial(elbo, beta=weights), partial(elbo, beta=weights.clone()))
    assert not is_same(ELBO().at, ELBO().at)


def test_objectives_are_the_same_where_functions_and_settings_are():
    assert is_same(ELBO(warmup=3).at(5), ELBO(warmup=3).at(9))
    assert not is_same(ELBO(warmup=3).at(0), ELBO(warmup=3).at(1))
    assert is_same(partial(partial(elbo, beta=1.0)), partial(partial(elbo, beta=1.0)))
    assert not is_same(partial(round, 1), partial(round, 2))
    assert not is_same(IWAE(5).at(0), ELBO().at(0))


def fitted(objective, *, records, epochs=4, **settings):
    vae = VAE(
        latent_dim=4,
        hidden=(32,),
        objective=objective,
        random_state=0,
        trainer=Trainer(max_epochs=epochs, batch_size=100, device="cuda", **settings),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalEngine, "records", property(lambda engine: records))
        made = []
        patch.setattr(RecordedStep, "__init__", remembering(RecordedStep.__init__, made))
        vae.fit("digits")
    assert any(step.recorded for step in made) is records
    return vae


def remembering(build, made):
    def init(step, module, noise):
        build(step, module, noise)
        made.append(step)

    return init


@on_gpu
@pytest.mark.parametrize("objective", [ELBO(), ELBO(warmup=3), IWAE(5)], ids=repr)
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_recorded_fit_has_the_weights_of_one_step_by_step(objective, precision):
    recorded, plain = (
        fitted(objective, records=records, precision=precision) for records in (True, False)
    )
    for name, weight in plain.model_.state_dict().items():
        assert torch.allclose(recorded.model_.state_dict()[name], weight, rtol=1e-3, atol=1e-4)
    assert recorded.history_["loss"] == pytest.approx(plain.history_["loss"], rel=1e-4)


@on_gpu
def test_a_recorded_fit_is_the_same_bit_for_bit_each_time():
    first, second = (fitted(ELBO(), records=True) for _ in range(2))
    assert first.history_["loss"] == second.history_["loss"]


@on_gpu
@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": EarlyStopping(3, 0.2)},
        {"learning_rate": np.float64(1e-3)},
        {"optimizer": Optimizer(weight_decay=1e-3)},
    ],
    ids=["early-stopping", "numpy-rate", "weight-decay"],
)
def test_settings_mean_the_same_in_a_recorded_fit(settings):
    recorded, plain = (fitted(ELBO(), records=records, **settings) for records in (True, False))
    assert recorded.history_["loss"] == pytest.approx(plain.history_["loss"], rel=1e-4)


@on_gpu
def test_a_recorded_fit_goes_on_from_a_checkpoint(tmp_path):
    folder = str(tmp_path / "run")
    fitted(ELBO(), records=True, checkpoint=folder, epochs=2)
    resumed = fitted(ELBO(), records=True, checkpoint=folder)
    straight = fitted(ELBO(), records=True)
    assert resumed.history_["loss"] == pytest.approx(straight.history_["loss"], rel=1e-4)


@on_gpu
def test_the_learning_rate_of_a_recorded_step_follows_its_schedule():
    constant, cosine = (
        fitted(ELBO(), records=True, schedule=schedule) for schedule in ("constant", "cosine")
    )
    assert constant.history_["loss"][0] == cosine.history_["loss"][0]
    assert constant.history_["loss"][-1] != cosine.history_["loss"][-1]


@on_gpu
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * float(x.sum()),
        lambda x: x * torch.rand(()),
        lambda x: x * torch.rand(3).to(x.device),
    ],
    ids=["waits", "draws", "carries"],
)
@pytest.mark.parametrize("around", [Noise(0), nullcontext()], ids=["from-the-fit", "from-torch"])
def test_what_a_gpu_cannot_repeat_alone_is_not_recorded(function, around):
    noise = around if isinstance(around, Noise) else Noise(0)
    step, x = RecordedStep(nn.Identity(), noise), torch.ones(3, device="cuda")

    def drawing(x):
        with around:
            return function(x)

    for _ in range(6):
        step(drawing, x)
    assert not step.repeatable
    assert not step.recorded


@on_gpu
def test_a_batch_of_another_shape_and_new_rows_are_seen_by_a_recorded_step():
    step, x = RecordedStep(nn.Identity(), Noise(0)), torch.ones(3, device="cuda")

    def function(x):
        return x.square().sum()[None]

    for _ in range(6):
        step(function, x)
    assert step.recorded
    assert float(step(function, 2 * x)) == 12.0
    assert float(step(function, 3 * x[:2])) == 18.0


class Imagined(RecordedStep):
    """A recording that a processor replays by running the step."""

    def __init__(self, module, noise):
        super().__init__(module, noise)
        self.replays = 0

    def _run(self, step, x):
        if self.n_steps < WARM_UP:
            self.n_steps += 1
            return self._watched(step, x) if self.n_steps == WARM_UP else step(x)
        self.replays += 1
        return step(x)


@pytest.fixture
def imagined(monkeypatch):
    """Let a processor pass for a GPU whose waiting nobody sees."""
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr("sfumato.training.recording._waiting_forbidden", nullcontext)
    return Imagined


def test_only_batches_of_the_first_shape_are_replayed(imagined):
    step = imagined(nn.Identity(), Noise(0))
    for n in (4, 4, 2, 4, 4, 2, 4):
        assert len(step(lambda x: x, torch.ones(n))) == n
    # Five of four rows, three of them to warm up.
    assert step.replays == 2


def test_a_step_that_moves_a_buffer_is_never_replayed(imagined):
    norm = nn.BatchNorm1d(2)

    def moving(x):
        norm.running_mean = norm.running_mean + 1
        return x

    step = imagined(norm, Noise(0))
    for _ in range(6):
        step(moving, torch.ones(3, 2))
    assert not step.repeatable
    assert step.replays == 0


@pytest.mark.parametrize("around", [Noise(0), nullcontext()], ids=["from-the-fit", "from-torch"])
def test_a_step_that_draws_on_the_processor_is_never_replayed(imagined, around):
    noise = around if isinstance(around, Noise) else Noise(0)

    def drawing(x):
        with around:
            return x * torch.rand(())

    step = imagined(nn.Identity(), noise)
    for _ in range(6):
        step(drawing, torch.ones(3, 2))
    assert not step.repeatable
    assert step.replays == 0


@pytest.mark.parametrize("around", [Noise(0), nullcontext()], ids=["from-the-fit", "from-torch"])
def test_a_step_that_breaks_off_is_repeated_as_if_for_the_first_time(imagined, around):
    noise = around if isinstance(around, Noise) else Noise(0)
    norm, seen = nn.BatchNorm1d(2), []

    def breaking(x):
        norm.running_mean += 1
        with around:
            seen.append(float(torch.rand(())))
        if len(seen) == WARM_UP:
            raise RuntimeError("waited for the GPU")
        return x

    step = imagined(norm, noise)
    for _ in range(5):
        step(breaking, torch.ones(3, 2))
    assert not step.repeatable
    assert seen[WARM_UP] == seen[WARM_UP - 1]
    assert norm.running_mean.tolist() == [5.0, 5.0]


class Counting(ELBO):
    """A bound whose function of an epoch runs Python at every step."""

    recordable = False


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (ELBO(), True),
        (IWAE(3), True),
        (Binarized(ELBO()), True),
        (Binarized(FunctionObjective(elbo)), False),
        (elbo, False),
        (Counting(), False),
        (SemiAmortised(), False),
    ],
    ids=["bound", "importance", "binarised", "binarised-function", "function", "own", "inner-loop"],
)
def test_functions_that_may_change_unseen_are_not_recorded(objective, expected):
    assert as_objective(objective).recordable is expected


def test_an_engine_that_says_nothing_of_recording_records_nothing(digits):
    class Engine:
        device, rank, world_size = torch.device("cpu"), 0, 1
        local = LocalEngine("cpu")
        setup, autocast, backward, all_reduce, save = (
            local.setup,
            local.autocast,
            local.backward,
            local.all_reduce,
            local.save,
        )

    model = VAE(latent_dim=2, hidden=(8,), random_state=0, trainer=Trainer(max_epochs=1))
    model.fit(digits[0][:50])
    x = torch.as_tensor(digits[0][:50] / 16, dtype=torch.float32).flatten(1)
    assert len(Trainer(max_epochs=2).fit(model.model_, ELBO(), x, engine=Engine())) == 2
