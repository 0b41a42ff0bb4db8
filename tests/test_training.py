"""The Trainer: resume, recovery, precision, threads, loggers."""

import math
import time
from functools import partialmethod

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sfumato import ELBO, VAE, Autoencoder, EarlyStopping, Optimizer, Trainer
from sfumato.artifacts import ArtifactError
from sfumato.objectives import Objective
from sfumato.training import LocalEngine, Rows, TrainingDivergedError, computes_bf16
from sfumato.training.engine import ThreadChooser, is_wide, threads
from sfumato.training.state import TrainingState

# Fits this short often leave the code unused; what they prove does not depend on it.
pytestmark = pytest.mark.filterwarnings("ignore:The code has collapsed")


def quick(cls=VAE, **trainer):
    settings = {"max_epochs": 2, "batch_size": 64, **trainer}
    return cls(latent_dim=2, hidden=(16,), random_state=0, trainer=Trainer(**settings))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.model_.state_dict().values()])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": Optimizer(averaging=0.0)},
        {"optimizer": Optimizer(averaging=0.9)},
        {"early_stopping": EarlyStopping(5, 0.2)},
        {"optimizer": Optimizer(weight_decay=1e-3)},
        {"optimizer": Optimizer(clipping=1.0)},
    ],
    ids=["defaults", "plain", "averaging", "early-stopping", "weight-decay", "clipping"],
)
@pytest.mark.parametrize("cls", [VAE, Autoencoder])
def test_two_and_two_epochs_equal_four_bit_for_bit(digits, tmp_path, cls, settings):
    X = digits[0][:200]
    quick(cls, checkpoint=str(tmp_path), **settings).fit(X)
    resumed = quick(cls, checkpoint=str(tmp_path), **settings, max_epochs=4).fit(X)
    straight = quick(cls, **settings, max_epochs=4).fit(X)
    assert torch.equal(weights(resumed), weights(straight))
    assert resumed.history_["loss"] == straight.history_["loss"]


def test_a_resumed_fit_of_weights_laid_out_by_channels_equals_an_uninterrupted_one(tmp_path):
    # A file keeps tensors row by row; a fused optimiser goes through memory as it lies.
    x = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))

    def fitted(epochs, folder):
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        plain = Optimizer(averaging=0.0)
        trainer = Trainer(epochs, learning_rate=0.01, optimizer=plain, checkpoint=str(folder))
        trainer.fit(model, lambda m, x: {"square": (m(x) - 1).square().sum((1, 2, 3))}, [x])
        return model.weight

    fitted(2, tmp_path / "two")
    straight = fitted(4, tmp_path / "four")
    assert torch.equal(fitted(4, tmp_path / "two"), straight)


def test_a_finished_checkpoint_is_not_trained_again(digits, tmp_path):
    first = quick(checkpoint=str(tmp_path)).fit(digits[0][:200])
    again = quick(checkpoint=str(tmp_path)).fit(digits[0][:200])
    assert again.history_.records == first.history_.records
    assert torch.equal(weights(again), weights(first))


def test_a_cosine_schedule_resumed_at_its_own_length_equals_an_uninterrupted_one(digits, tmp_path):
    X = digits[0][:200]

    class StopError(Exception):
        pass

    class StopAfterTwo:
        def log_hyperparams(self, params):
            pass

        def log_metrics(self, metrics, step):
            if step == 2:
                raise StopError

    settings = {"max_epochs": 4, "schedule": "cosine"}
    with pytest.raises(StopError):
        quick(**settings, checkpoint=str(tmp_path), loggers=(StopAfterTwo(),)).fit(X)
    resumed = quick(**settings, checkpoint=str(tmp_path)).fit(X)
    assert torch.equal(weights(resumed), weights(quick(**settings).fit(X)))


@pytest.mark.parametrize("change", ["data", "setting", "seed"])
def test_a_checkpoint_of_something_else_is_refused(digits, tmp_path, change):
    X = digits[0][:200]
    quick(checkpoint=str(tmp_path)).fit(X)
    other = quick(checkpoint=str(tmp_path), max_epochs=4)
    other.set_params(**{"setting": {"latent_dim": 3}, "seed": {"random_state": 1}}.get(change, {}))
    with pytest.raises(ArtifactError, match="other data or settings"):
        other.fit(X + 1 if change == "data" else X)


class Breaking(Objective):
    """An objective whose term becomes NaN at a step, and stays."""

    def __init__(self, at_step, term="kl"):
        self.at_step = at_step
        self.term = term
        self.count = 0

    def __call__(self, model, x):
        self.count += 1
        q = model.encoder(x)
        error = (x - model.decoder(q.mean).mean).square().sum(1)
        bad = error * math.nan if self.count > self.at_step else error * 0
        return {"error": error, self.term: bad}


def test_nan_stops_restores_the_last_good_epoch_and_names_the_term(digits):
    X = digits[0][:200]
    broken = quick(max_epochs=9).set_params(objective=Breaking(8))
    with pytest.warns(ConvergenceWarning, match="epoch 3: the term 'kl' became NaN") as caught:
        broken.fit(X)
    assert sum("Training stopped" in str(warning.message) for warning in caught) == 1
    good = quick(max_epochs=2).set_params(objective=Breaking(99)).fit(X)
    assert torch.equal(weights(broken), weights(good))
    assert len(broken.history_) == 2


def test_nan_in_the_first_epoch_is_an_error_that_says_what_to_do(digits):
    model = quick().set_params(objective=Breaking(1))
    with pytest.raises(TrainingDivergedError, match="'kl' is NaN or infinite; lower the learning"):
        model.fit(digits[0][:200])


class Exploding(Objective):
    """An objective that grows a millionfold after a number of steps."""

    def __init__(self, at_step):
        self.at_step = at_step
        self.count = 0

    def __call__(self, model, x):
        self.count += 1
        error = (x - model.decoder(model.encoder(x).mean).mean).square().sum(1)
        return {"error": error * (1e6 if self.count > self.at_step else 1)}


def test_a_loss_that_explodes_to_a_number_stops_the_training_too(digits):
    X = digits[0][:200]
    # Four batches an epoch: the third begins with the ninth step.
    model = quick(max_epochs=9).set_params(objective=Exploding(8))
    with pytest.warns(ConvergenceWarning, match="epoch 3: the loss grew a thousandfold; the weig"):
        model.fit(X)
    assert len(model.history_) == 2


def gradient_steps(clipping, lengths):
    """Return how far each step moves a weight at rate one, for gradients of these lengths."""
    model = nn.Linear(1, 1, bias=False)
    state = TrainingState(model, torch.optim.SGD(model.parameters(), lr=1.0), 0.0, {}, clipping)
    moves = []
    for length in lengths:
        before = model.weight.item()
        model.weight.grad = torch.full((1, 1), float(length))
        state.step()
        state.update_average()
        moves.append(before - model.weight.item())
    return moves


def test_a_gradient_far_longer_than_the_average_is_shortened():
    # The average of 1, 1, 1 is 1: the fourth is cut to twice that, and counts as 2 afterwards.
    moves = gradient_steps(2.0, [1, 1, 1, 100, 2.5, 100])
    assert moves == pytest.approx([1, 1, 1, 2, 2.5, 2 * 7.5 / 5], rel=1e-5)
    assert gradient_steps(0.0, [1, 100]) == pytest.approx([1, 100])


def with_infinite_gradients(model, x):
    weight = next(model.parameters())
    weight.register_hook(lambda gradient: gradient * math.inf)
    return {"error": (x - model.decoder(model.encoder(x).mean).mean).square().sum(1)}


def test_an_infinite_weight_is_noticed_though_the_terms_are_finite(digits):
    model = quick(max_epochs=1, batch_size=500).set_params(objective=with_infinite_gradients)
    with pytest.raises(TrainingDivergedError, match="a weight"):
        model.fit(digits[0][:200])


@pytest.mark.parametrize(
    ("values", "finite"),
    # The sum of the second overflows, though each number is one.
    [([1.0, 2.0], True), ([3e38, 3e38], True), ([1.0, math.inf], False), ([1.0, math.nan], False)],
)
def test_weights_are_finite_where_each_is_a_number_however_large(values, finite):
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([values])
    state = TrainingState(model, torch.optim.SGD(model.parameters()), 0.0, {})
    assert state.has_finite_weights() is finite


def test_early_stopping_stops_and_keeps_the_best_epoch(digits):
    X = digits[0][:300]
    stopping = EarlyStopping(patience=3, validation_fraction=0.2)
    model = quick(Autoencoder, max_epochs=500, learning_rate=0.05, early_stopping=stopping).fit(X)
    losses = model.history_["validation_loss"]
    best = losses.index(min(losses))
    assert len(losses) < 500
    assert len(losses) == best + 1 + 3
    shorter = quick(
        Autoencoder, max_epochs=best + 1, learning_rate=0.05, early_stopping=stopping
    ).fit(X)
    assert torch.equal(weights(model)[:100], weights(shorter)[:100])


def test_any_optimiser_of_torchs_takes_the_steps():
    model = nn.Linear(2, 1, bias=False)
    first = model.weight.detach().clone()
    sgd = Optimizer(torch.optim.SGD, {"momentum": 0.5}, averaging=0.0)
    trainer = Trainer(2, batch_size=4, learning_rate=0.1, optimizer=sgd, precision="32")
    # The gradient of the mean of w.x is the mean of the rows, whatever the weights.
    x = torch.tensor([[1.0, 3.0]]).expand(4, 2).clone()
    trainer.fit(model, lambda model, x: {"output": model(x).squeeze(1)}, x)
    # Two steps with momentum: 0.1 times the gradient, then 1.5 times as far.
    torch.testing.assert_close(first - model.weight, 0.1 * 2.5 * x[:1])


def halved(progress):
    return 0.5 if progress >= 0.5 else 1.0


def test_a_schedule_may_be_a_function_of_the_progress(digits):
    model = quick(max_epochs=4, learning_rate=0.01, schedule=halved).fit(digits[0][:50])
    assert model.history_["learning_rate"] == [0.01, 0.01, 0.005, 0.005]


@pytest.mark.parametrize(
    ("name", "value"), [("averaging", 0.5), ("weight_decay", 0.1), ("clipping", 2.0)]
)
def test_a_setting_that_has_moved_into_the_optimiser_warns_and_means_the_same(name, value):
    with pytest.warns(DeprecationWarning, match=rf"use optimizer=Optimizer\({name}={value}\)"):
        trainer = Trainer(**{name: value})
    assert repr(trainer) == repr(Trainer(optimizer=Optimizer(**{name: value})))
    with pytest.warns(DeprecationWarning, match=rf"use optimizer=Optimizer\({name}={value}\)"):
        changed = Trainer(optimizer=Optimizer(averaging=0.9)).set_params(**{name: value})
    assert repr(changed.optimizer) == repr(Optimizer(**{"averaging": 0.9, name: value}))
    with pytest.raises(TypeError, match="Trainer takes no argument 'momentum'"):
        Trainer(momentum=0.9)


def test_averaged_weights_differ_from_the_last_ones_and_lie_near_them(digits):
    X = digits[0][:300]
    plain, averaged = (
        quick(max_epochs=9, optimizer=Optimizer(averaging=decay)).fit(X) for decay in (0, 0.9)
    )
    assert plain.history_["loss"] == averaged.history_["loss"]
    difference = (weights(plain) - weights(averaged)).norm()
    assert 0 < difference < 0.2 * weights(plain).norm()


DECAY = 0.1


def drawn_error(model, x):
    return {"error": (x - model.decoder(model.encoder(x).rsample()).mean).square().sum(1)}


def penalised(model, x):
    squares = sum(p.square().sum() for p in model.parameters() if p.ndim > 1)
    return {**drawn_error(model, x), "penalty": 0.5 * DECAY * squares.expand(len(x))}


def test_weight_decay_is_half_lambda_times_the_squared_weights_without_biases(digits):
    X, optimizer = digits[0][:64], Optimizer(weight_decay=DECAY)
    explicit = quick(precision="32").set_params(objective=penalised).fit(X)
    decayed = quick(precision="32", optimizer=optimizer).set_params(objective=drawn_error).fit(X)
    torch.testing.assert_close(weights(explicit), weights(decayed), atol=1e-5, rtol=1e-4)


class Remembering(Objective):
    """An objective that keeps what it returns."""

    def __init__(self):
        self.seen = []

    def __call__(self, model, x):
        error = (x - model.decoder(model.encoder(x).mean).mean).square().sum(1)
        self.seen.append(error.detach())
        return {"error": error, "nothing": error * 0}


def test_the_history_holds_every_term_and_the_mean_over_rows(digits):
    X = digits[0][:100]
    objective = Remembering()
    record = quick(max_epochs=1, batch_size=64).set_params(objective=objective).fit(X).history_
    assert record.terms == ["error", "nothing"]
    # Batches of 64 and 36 rows: the mean over rows is not the mean of the batches' means.
    assert record["error"][0] == pytest.approx(float(torch.cat(objective.seen).mean()), rel=1e-5)


def test_any_logger_receives_the_settings_and_every_epoch(digits):
    received = []

    class Log:
        def log_hyperparams(self, params):
            received.append(params["max_epochs"])

        def log_metrics(self, metrics, step):
            received.append((step, sorted(metrics)))

    quick(loggers=(Log(),)).fit(digits[0][:100])
    names = sorted(["epoch", "loss", "reconstruction", "kl", "learning_rate", "seconds"])
    assert received == [2, (1, names), (2, names)]


def test_any_iterable_of_batches_trains(digits):
    from sfumato.objectives import elbo

    x = torch.from_numpy(digits[0][:128]).flatten(1).float() / 16
    vae = quick().fit(digits[0][:128])
    history = Trainer(max_epochs=3).fit(vae.model_, elbo, [x[:64], x[64:]])
    assert len(history) == 3
    with pytest.raises(ValueError, match="no batch"):
        Trainer().fit(vae.model_, elbo, [])


def test_bfloat16_training_reaches_the_loss_of_float32(digits):
    losses = [
        quick(max_epochs=20, precision=precision).fit(digits[0]).history_["loss"][-1]
        for precision in ("32", "bf16")
    ]
    # Eight bits of mantissa in the matrices: 1 % of the loss is ample.
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_after_bfloat16_training_answers_are_float32(digits):
    model = quick(precision="bf16").fit(digits[0][:100])
    assert {p.dtype for p in model.model_.parameters()} == {torch.float32}
    whole = model.transform(digits[0][:100])
    assert not np.array_equal(whole, whole.astype(np.float16).astype(whole.dtype))


def test_auto_precision_is_bfloat16_for_wide_networks_on_processors_that_have_it():
    wide, narrow = nn.Linear(500, 500), nn.Linear(64, 64)
    native = computes_bf16(torch.device("cpu"))
    for module, expected in ((wide, native), (narrow, False)):
        engine = LocalEngine("cpu", "auto")
        engine.setup(module, torch.optim.Adam(module.parameters()))
        assert engine.bf16 is expected
        assert is_wide(module) is (module is wide)


def test_the_number_of_threads_does_not_change_a_bit_of_a_fully_connected_fit(digits):
    # The adaptive choice of threads rests on this.
    found = []
    for n in (1, 2):
        trainer = Trainer(max_epochs=2, threads=n)
        model = VAE(hidden=(500, 200), random_state=0, trainer=trainer)
        found.append(weights(model.fit(digits[0])))
    assert torch.equal(*found)


MATRIX, CONVOLUTION = nn.Linear(2, 2), nn.Conv2d(1, 1, 3)


@pytest.fixture
def two_threads(monkeypatch):
    """Pretend to have two threads; return the list of the numbers that were put in force."""
    current = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", current.append)
    return current


def test_the_faster_number_of_threads_is_chosen(two_threads):
    chooser = ThreadChooser("auto", MATRIX)
    for _ in range(8):
        with chooser.step():
            time.sleep(0.02 if two_threads[-1] == 2 else 0.001)
    assert chooser.chosen == 1
    assert two_threads[-1] == 1


def test_convolutions_whose_bits_depend_on_threads_get_a_fixed_number(two_threads, monkeypatch):
    assert ThreadChooser("auto", CONVOLUTION).candidates == [1]
    monkeypatch.setenv("GOMP_SPINCOUNT", "3000")
    assert ThreadChooser("auto", CONVOLUTION).candidates == [2]
    monkeypatch.setenv("GOMP_SPINCOUNT", "300000")
    assert ThreadChooser("auto", CONVOLUTION).candidates == [1]
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert ThreadChooser("auto", CONVOLUTION).candidates == [2]


def test_omp_num_threads_and_a_given_number_are_obeyed(two_threads, monkeypatch):
    assert ThreadChooser(5, MATRIX).candidates == [5]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert ThreadChooser("auto", MATRIX).candidates == [2]


@pytest.mark.parametrize("same", [True, False])
def test_there_is_a_choice_of_threads_only_where_it_does_not_change_a_bit(two_threads, same):
    chooser = ThreadChooser("auto", MATRIX)
    chooser.compare(lambda: [torch.tensor(0.0 if same else two_threads[-1])])
    assert chooser.candidates == ([2, 1] if same else [1])
    assert two_threads[-1] == chooser.chosen == (2 if same else 1)


class Uncopied(nn.Linear):
    """A layer one of whose weights is computed from another, which cannot be copied."""

    def __init__(self):
        super().__init__(4, 4)
        self.twice = 2 * self.weight

    def forward(self, x):
        return nn.functional.linear(x, 2 * self.weight)


def squares(model, x):
    return {"square": model(x).square().sum(1)}


def test_a_model_that_cannot_be_copied_trains_in_one_thread(two_threads):
    Trainer(max_epochs=1).fit(Uncopied(), squares, torch.rand(8, 4))
    assert two_threads[-2] == 1


# Where one thread and two give other weights of so small a network, they are the products of narrow
# layers; on a machine where none differs this shows nothing, and cannot fail.
@pytest.mark.parametrize("hidden", [(128,), (500,)])
def test_busy_cores_do_not_change_a_fit(hidden, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    X = np.random.default_rng(0).random((414, 8, 8), dtype=np.float32)
    before, weights = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        for n in (1, 2):
            monkeypatch.setattr(ThreadChooser, "_decide", partialmethod(decide_for, n))
            model = Autoencoder(hidden=hidden, random_state=0, trainer=Trainer(max_epochs=4))
            weights.append(model.fit(X).model_.state_dict())
    finally:
        torch.set_num_threads(before)
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name])


def decide_for(chooser, n):
    chooser.chosen, chooser.resume_at = n, float("inf")
    torch.set_num_threads(n)


def test_threads_are_put_back_even_after_a_failure():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), threads(2, MATRIX):
        raise RuntimeError
    assert torch.get_num_threads() == before


def double(X):
    return torch.from_numpy(2 * X.astype(np.float32))


def test_rows_in_a_file_and_in_memory_give_the_same_batches(tmp_path):
    X = np.random.default_rng(0).integers(0, 255, (50, 4), dtype=np.uint8)
    index = torch.tensor([3, 1, 49])
    batches = [Rows(X, double, resident=resident)[index] for resident in (True, False)]
    assert torch.equal(*batches)
    assert torch.equal(batches[0], torch.from_numpy(X[index.numpy()]).float() * 2)


class Seven(Objective):
    """Trains like the ELBO and reports seven for every row."""

    def at(self, epoch):
        return ELBO(warmup=9).at(epoch)

    def __call__(self, model, x):
        return {"kl": torch.full((len(x),), 7.0)}


def test_early_stopping_compares_epochs_under_the_reported_objective(digits):
    stopping = EarlyStopping(patience=5, validation_fraction=0.2)
    model = quick(early_stopping=stopping).set_params(objective=Seven())
    history = model.fit(digits[0][:300]).history_
    assert history["validation_loss"] == pytest.approx([7.0, 7.0])
    assert min(history["loss"]) > 8


def test_early_stopping_without_rows_to_hold_out_is_refused(digits):
    trainer = Trainer(early_stopping=EarlyStopping())
    with pytest.raises(ValueError, match="not an iterable"):
        trainer.fit(quick().fit(digits[0][:50]).model_, ELBO(), [torch.zeros(4, 64)])


def named_like_a_record(model, x):
    return {"loss": model.decoder(model.encoder(x).mean).mean.sum(1)}


def test_a_term_may_not_take_the_name_of_a_record(digits):
    with pytest.raises(ValueError, match="may not be named"):
        quick().set_params(objective=named_like_a_record).fit(digits[0][:50])


def test_another_length_of_a_cosine_schedule_is_another_fit(digits, tmp_path):
    quick(schedule="cosine", checkpoint=str(tmp_path)).fit(digits[0][:100])
    with pytest.raises(ArtifactError, match="other data or settings"):
        quick(schedule="cosine", checkpoint=str(tmp_path), max_epochs=5).fit(digits[0][:100])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_no_gradient_depends_on_the_number_of_threads(likelihood):
    x = np.random.default_rng(0).random((128, 28, 28), dtype=np.float32)
    found = []
    for n in (1, 2):
        trainer = Trainer(max_epochs=6, threads=n)
        model = VAE(hidden=(300,), likelihood=likelihood, random_state=0, trainer=trainer)
        found.append(weights(model.fit(x)))
    assert torch.equal(*found)


def test_a_logger_that_is_a_context_is_closed_after_the_fit_and_after_a_failure(digits):
    log = []

    class Log:
        def __enter__(self):
            log.append("open")

        def __exit__(self, *failure):
            log.append("closed")

        def log_hyperparams(self, params):
            pass

        def log_metrics(self, metrics, step):
            pass

    quick(loggers=(Log(),)).fit(digits[0][:50])
    with pytest.raises(TrainingDivergedError):
        quick(loggers=(Log(),)).set_params(objective=Breaking(0)).fit(digits[0][:50])
    assert log == ["open", "closed"] * 2
