"""How the columns of a table are to be read, as commands and jobs are told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from sfumato.data import Columns, Data, load_data


@dataclass(frozen=True)
class TableOptions:
    """How the columns of a table are to be read.

    Attributes
    ----------
    columns : mapping
        Name -> kind, or name -> {"kind": ..., "levels": [...], "unit": ...}.
    drop : sequence of str
        Columns to leave out.
    id : str or None
        The column that names the rows.
    label : str, False or None
        The column of labels; False reads no labels even where the data have some.
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    drop: Sequence[str] = ()
    id: str | None = None
    label: str | bool | None = None

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Any] | None = None,
        drop: Sequence[str] = (),
        id: str | None = None,
        label: str | bool | None = None,
    ) -> Self:
        """Return what a job's arguments say."""
        return cls(dict(columns or {}), tuple(drop), id, label)

    def asked(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON values."""
        found = {name: value for name, value in asdict(self).items() if value not in (None, {}, ())}
        return found | ({"drop": list(self.drop)} if self.drop else {})

    def after(self, earlier: Mapping[str, Any]) -> Self:
        """Return this, and what was asked before wherever this says nothing."""
        return replace(self, **{**earlier, **self.asked()})

    def load(self, source: Any, known: Columns | None = None) -> Data:
        """Return the data of a source.

        Parameters
        ----------
        source : whatever :func:`~sfumato.data.load_data` takes
        known : Columns, optional
            Of an earlier table: this one is read as that one was.

        Raises
        ------
        DataError
            If the data cannot be read.
        """
        columns = dict(self.columns)
        if self.label is False and known is not None:
            labels = [column.name for column in known if column.kind == "label"]
            columns |= dict.fromkeys(labels, "ignored")
        label = self.label if isinstance(self.label, str) else None
        found = load_data(
            source, columns=columns, drop=self.drop, id=self.id, label=label, known=known
        )
        return replace(found, y=None, y_test=None) if self.label is False else found
