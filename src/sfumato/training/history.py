"""The history of a fit: one record an epoch, every term by name."""

from dataclasses import dataclass, field

Record = dict[str, float]
RESERVED = {"epoch", "loss", "changed", "validation_loss", "learning_rate", "seconds"}


@dataclass
class History:
    """Records of the epochs, in order.

    ``history["kl"]`` is the list of that quantity's values, one an epoch. Every record holds
    ``epoch`` (from 1), ``loss``, each term of the objective (means over the epoch's rows, as
    trained), ``learning_rate``, ``seconds``, with early stopping ``validation_loss``, and where a
    model labels the rows itself ``changed``, the share of rows whose label is new.

    Examples
    --------
    >>> History([{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}])["loss"]
    [3.0, 2.0]
    """

    records: list[Record] = field(default_factory=list)

    def __getitem__(self, name: str) -> list[float]:
        return [record[name] for record in self.records]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def terms(self) -> list[str]:
        """Names of the objective's terms."""
        return [name for name in self.records[0] if name not in RESERVED] if self.records else []
