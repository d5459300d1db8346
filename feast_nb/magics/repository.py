"""The repository that the magics of a notebook work on, and the variables that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics

from ..errors import FeatureError, nearest
from ..session import Session, of_store
from ..session import nearest as nearest_session

if TYPE_CHECKING:
    from feast import FeatureStore
    from IPython.core.interactiveshell import InteractiveShell

_STORE = "FeatureStore"


class RepositoryInUse(Magics):
    """What every magic asks of the notebook: its session, its store, its variables."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._session: Session | None = None
        self._passed_over: FeatureStore | None = (
            None  # the store that was bound when another was named
        )

    @property
    def known_session(self) -> Session | None:
        """The session as far as it is open already; completion asks this."""
        return self._session

    def session(self) -> Session:
        """The repository in use: the store bound in the notebook, else the nearest one."""
        bound = self.bound_store()
        if self._session is not None and (
            bound is None or bound is self._session.store or bound is self._passed_over
        ):
            return self._session
        if bound is not None:
            self._session = of_store(bound)
        else:
            self._session = nearest_session()
        self._session.names.refresh(self._session)
        return self._session

    def bound_store(self) -> FeatureStore | None:
        """The `FeatureStore` in the namespace: `store`, else the one bound last."""
        space = self._space
        stores: dict[str, FeatureStore] = {
            k: v for k, v in space.items() if type(v).__name__ == _STORE and k[:1] != "_"
        }
        if not stores:
            return None
        return stores.get("store", list(stores.values())[-1])

    @property
    def _space(self) -> dict[str, Any]:
        assert self.shell is not None
        space: dict[str, Any] = self.shell.user_ns
        return space

    def show(self, record: object) -> None:
        """Show a record before the magic's own answer."""
        from IPython.display import display

        if record is not None:
            display(record)

    def variable(self, name: str, option: str) -> Any:
        """A frame in the notebook; raises `FeatureError` with the nearest name."""
        if name not in self._space:
            known = [k for k, v in self._space.items() if k[:1] != "_" and hasattr(v, "columns")]
            hint = (
                nearest(name, known) or "make a DataFrame with the entity keys and event_timestamp."
            )
            raise FeatureError(f"{option} {name}: no variable of that name; {hint}")
        return self._space[name]
