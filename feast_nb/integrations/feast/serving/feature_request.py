"""What is asked for a model: the features, what tells how they stand, what a caller must give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....errors import FeatureError, nearest
from ....records.contract import Contract
from ....records.references import column_names, split_version
from ..views import ReadView, View

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.feature_view_projection import FeatureViewProjection

    from ..calls import Features
    from ..registry import Definitions


@dataclass(frozen=True)
class FeatureRequest:
    """What is asked for a model: looked up once, however many batches are fetched.

    `keys` are the columns that a caller must give (join keys, of them `entities`, and request
    data), `others` the inputs that are no features. `told_by` names, for each input, the columns
    whose values tell whether it is there and how old it is (its own, and those that an on-demand
    feature is computed from), `watched` the view of those that have moments, and the seconds after
    which they expire. `views` are those asked for, `recorded` is what the call is about, without
    what is asked beside it; `clash` is why Feast cannot serve them online at all.
    """

    contract: Contract
    features: Features
    keys: tuple[str, ...]
    entities: tuple[str, ...]
    others: tuple[str, ...]
    told_by: dict[str, tuple[str, ...]]
    watched: dict[str, tuple[str, float]]
    views: tuple[View, ...] = ()
    recorded: Features | None = None
    clash: str | None = None

    @property
    def one_by_one(self) -> bool:
        """Whether an on-demand view among them computes one row at a time (`singleton`).

        Feast gives one value then, for any number of rows.
        """
        return any(view.is_singleton for view in self.views)


def ask(store: FeatureStore, contract: Contract, features: Features) -> FeatureRequest:
    """What to ask for a model's inputs; `features` as a `Resolution` has them.

    What features of on-demand views are computed from is asked for beside them: Feast says of
    those themselves that they are there, whatever they were computed from.
    """
    from .. import definitions, registry

    # Of a service Feast fetches all, for which it wants all of its keys.
    known = registry.definitions_of(store)
    refs = definitions.refs_of(store, features, known)
    views = definitions.views_of(known, features, refs)
    entities = definitions.join_keys_of(known, views.values())
    requested = definitions.request_fields_of(views.values())
    watch = _Watch(contract, known, refs)
    for name, view in views.items():
        watch.add(name, view)
    recorded = features
    if watch.further:
        if isinstance(features, list):
            features = [*features, *watch.further]
        elif not any(_renamed(p) for p in features.feature_view_projections):
            features = [*refs, *watch.further]
    others = tuple(i.name for i in contract.inputs if not i.ref and i.name not in entities)
    keys = tuple(dict.fromkeys((*entities, *requested)))
    clash = definitions.key_clash(known, views.values())
    return FeatureRequest(
        contract, features, keys, entities, others, watch.told_by(), watch.columns,
        tuple(views.values()), recorded, clash,
    )  # fmt: skip


def _renamed(projection: FeatureViewProjection) -> bool:
    """Whether no reference says what a service asks for: another name, or other join keys."""
    return bool(projection.name_alias or projection.join_key_map)


class _Watch:
    """Which columns of an answer tell of each input, and which to ask for beside the inputs."""

    def __init__(self, contract: Contract, known: Definitions, refs: Sequence[str]) -> None:
        self._contract = contract
        self._known = known
        self._names = {ref: column_names(ref, contract.full_feature_names)[0] for ref in refs}
        self._names |= {one.ref: one.name for one in contract.inputs if one.ref}
        self._taken = {*self._names.values(), *(one.name for one in contract.inputs)}
        self._computed: dict[str, tuple[str, ...]] = {}  # on-demand view → what it is made of
        self.columns: dict[str, tuple[str, float]] = {}
        self.further: list[str] = []

    def add(self, name: str, view: View) -> None:
        """A view by the name that references have for it."""
        if view.is_timed:
            for ref, column in self._names.items():
                if ref.partition(":")[0] == name:
                    self.columns[column] = name, view.ttl
            return
        found: list[str] = []
        for read in view.inputs:
            source = self._known.view(read.address, read.name)
            if not source.is_timed:
                self.add(read.name, source)
                found += self._computed[read.name]
            elif split_version(read.name)[0] == read.view and not source.unavailable:
                found += self._beside(read, source.ttl)  # what no reference names is not asked for
        self._computed[name] = tuple(dict.fromkeys(found))

    def _beside(self, read: ReadView, ttl: float) -> Iterator[str]:
        """What an on-demand view reads of a view, where no other column has its name."""
        for ref in read.refs:
            column = self._names.get(ref)
            if column is None:
                column = column_names(ref, self._contract.full_feature_names)[0]
                if column in self._taken:
                    continue
                self._taken.add(column)
                self._names[ref] = column
                self.further.append(ref)
            self.columns[column] = read.name, ttl
            yield column

    def told_by(self) -> dict[str, tuple[str, ...]]:
        """Input → the columns that tell of it, its own first."""
        return {
            one.name: (one.name, *self._computed.get((one.ref or "").partition(":")[0], ()))
            for one in self._contract.inputs
        }


def check_online(asked: FeatureRequest) -> None:
    """Raise `FeatureError` for what Feast cannot serve online."""
    if asked.clash:
        raise FeatureError(asked.clash)


def check_given(given: Sequence[str], keys: Sequence[str], others: Sequence[str]) -> None:
    """Raise `FeatureError` for the first column that is needed and not given."""
    for name in (*keys, *others):
        if name not in given:
            what = "an entity key or request data" if name in keys else "an input of the model"
            hint = nearest(name, given)
            raise FeatureError(f"no column {name}, which is {what}; {hint or 'give it.'}")
