"""Training steps recorded on a GPU: the same weights as step by step, or no recording at all."""

from functools import partial

import pytest
import torch

from sfumato import ELBO, IWAE, VAE, Trainer
from sfumato.objectives import elbo
from sfumato.training import LocalEngine
from sfumato.training.recording import RecordedStep, is_same

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
pytestmark = pytest.mark.filterwarnings("ignore:The code has collapsed")


def test_objectives_are_the_same_where_functions_and_settings_are():
    assert is_same(ELBO(warmup=3).at(5), ELBO(warmup=3).at(9))
    assert not is_same(ELBO(warmup=3).at(0), ELBO(warmup=3).at(1))
    assert is_same(partial(partial(elbo, beta=1.0)), partial(partial(elbo, beta=1.0)))
    assert not is_same(partial(round, 1), partial(round, 2))
    assert not is_same(IWAE(5).at(0), ELBO().at(0))


def fitted(objective, *, records, **settings):
    vae = VAE(
        latent_dim=4,
        hidden=(32,),
        objective=objective,
        random_state=0,
        trainer=Trainer(max_epochs=4, batch_size=100, device="cuda", **settings),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalEngine, "records", property(lambda engine: records))
        return vae.fit("digits")


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
def test_what_a_gpu_cannot_repeat_alone_is_not_recorded(function):
    step = RecordedStep(function)
    x = torch.ones(3, device="cuda")
    for _ in range(6):
        step(x)
    assert not step.repeatable
    assert step(2 * x).sum() >= 0


@on_gpu
def test_a_batch_of_another_shape_and_new_rows_are_seen_by_a_recorded_step():
    step = RecordedStep(lambda x: x.square().sum()[None])
    for _ in range(6):
        step(torch.ones(3, device="cuda"))
    assert step.repeatable
    assert float(step(torch.full((3,), 2.0, device="cuda"))) == 12.0
    assert float(step(torch.full((2,), 3.0, device="cuda"))) == 18.0
