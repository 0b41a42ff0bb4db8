"""A made table of customers: four segments, as a spreadsheet of a European shop writes it."""

import csv
from pathlib import Path

import numpy as np

HEADER = ("customer", "name", "spend", "visits", "city", "signup", "active", "segment")
CITIES = ("Rom", "Wien", "Köln", "Genf")
N = 400


def customers(missing: float = 0.08, seed: int = 0) -> list[list[str]]:
    """Return rows of text; cells between the name and the segment are missing at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, k in enumerate(rng.integers(0, 4, N)):
        signup = np.datetime64("2020-01-01") + int(300 * k + rng.normal(200, 60))
        cells = [
            f"{np.exp(rng.normal(2 + k, 0.3)):.2f}".replace(".", ","),
            str(rng.poisson(3 + 5 * k)),
            CITIES[k] if rng.random() < 0.8 else CITIES[rng.integers(4)],
            str(signup),
            "yes" if rng.random() < (0.9 if k % 2 else 0.1) else "no",
        ]
        cells = ["" if rng.random() < missing else cell for cell in cells]
        rows.append([f"C{i:04d}", f"Name {i}", *cells, f"s{k}"])
    return rows


def write_customers(path: Path, rows: list[list[str]], header: tuple[str, ...] = HEADER) -> Path:
    """Write rows with semicolons between the cells."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(header)
        writer.writerows(rows)
    return path
