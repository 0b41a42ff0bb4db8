"""Arguments that have moved into an object: accepted for one release, with a warning."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator


class Moved:
    """An estimator some of whose former arguments belong to objects among its present ones.

    Attributes
    ----------
    homes : mapping
        Former argument -> present argument, whose object has a parameter of that name.
    """

    homes: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def default_objects(self) -> dict[str, Any]:
        """Return the objects that parameters of None, or names, stand for."""

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those that have moved among them."""
        moved = {name: params.pop(name) for name in list(params) if name in self.homes}
        super().set_params(**params)  # type: ignore[misc]
        self._accept(moved)
        return self

    def _accept(self, moved: Mapping[str, Any]) -> None:
        """Put former arguments where they belong now.

        Raises
        ------
        TypeError
            If there has never been such an argument.
        ValueError
            If the object that would hold it has no use for it.
        """
        for name, value in moved.items():
            if name not in self.homes:
                raise TypeError(f"{type(self).__name__} takes no argument {name!r}.")
            home = self.homes[name]
            owner = self._owner(home, name)
            new = f"{home}={type(owner).__name__}({name}={value!r})"
            warnings.warn(
                f"{type(self).__name__}({name}=...) is deprecated; use {new}.",
                DeprecationWarning,
                stacklevel=3,
            )
            params = owner.get_params(deep=False) | {name: value}
            setattr(self, home, type(owner)(**params))

    def _owner(self, home: str, name: str) -> BaseEstimator:
        value = getattr(self, home)
        owner: BaseEstimator = (
            value if isinstance(value, BaseEstimator) else self.default_objects()[home]
        )
        if name not in owner.get_params(deep=False):
            raise ValueError(
                f"{name} has no effect with {home}={owner!r}: leave it out, or give another {home}."
            )
        return owner
