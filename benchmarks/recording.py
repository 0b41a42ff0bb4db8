"""Epochs of MNIST on a GPU, with steps recorded as one launch and without; needs a GPU.

Both take the same steps: their losses are compared to the last bit.
"""

import argparse
from statistics import median
from typing import Any

from benchmarks import results
from sfumato import VAE, Trainer
from sfumato.data import load_data
from sfumato.training import LocalEngine

MODELS: dict[str, dict[str, Any]] = {
    "784-200-200-50": {"latent_dim": 50, "hidden": (200, 200)},
    "resnet": {"backbone": "resnet"},
}


class Unrecorded(LocalEngine):
    """The local engine, launching kernel by kernel."""

    records = False


class Launching(Trainer):
    """A trainer that records nothing."""

    def engine(self) -> LocalEngine:
        """Return an engine that records nothing."""
        return Unrecorded(self.device, self.precision)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks recording", description=__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args(arguments)
    X = load_data("mnist").X
    rows: list[list[object]] = []
    for name, settings in MODELS.items():
        fits = []
        for trainer in (Launching, Trainer):
            vae = VAE(binarize=True, random_state=0, **settings)
            vae.trainer = trainer(max_epochs=options.epochs, device="cuda")
            fits.append(vae.fit(X).history_)
        # The first epoch sets libraries up and records.
        plain, recorded = (median(history["seconds"][1:]) for history in fits)
        same = "yes" if fits[0]["loss"] == fits[1]["loss"] else "no"
        rows.append([name, f"{plain:.3f}", f"{recorded:.3f}", f"{plain / recorded:.1f}", same])
        print(rows[-1], flush=True)
    columns = ["network", "s an epoch", "recorded", "times as fast", "same losses"]
    notes = (
        "A VAE of MNIST, 60,000 rows binarised anew in each of 469 steps of 128 rows, "
        "`precision='auto'` (bfloat16); medians of the epochs after the first."
    )
    results.write("recording", columns, rows, notes)
