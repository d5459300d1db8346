"""Models that a prediction run has loaded, and whether it then fetches what they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import FeastNbError
from ..integrations.feast.store import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feast import FeatureStore

    from ..integrations.mlflow.model_lookup import ModelRef
    from .open_runs import OpenRuns


class LoadedModel(NamedTuple):
    """A model as a run loaded it: what it is called, and its features."""

    shown: str
    refs: tuple[str, ...]
    service: str | None


class LoadedModels:
    """What each open run has loaded by `store.mlflow.load_model`."""

    def __init__(self, runs: OpenRuns, say: Callable[[str], None]) -> None:
        self._runs = runs
        self._say = say
        self._of_run: dict[str, list[LoadedModel]] = {}

    def find(self, store: FeatureStore, named: str) -> tuple[str, tuple[str, ModelRef] | None]:
        """The version that a name means now, as MLflow and Feast both take it, and what it is.

        What it is comes with the server that said so: the open run may be on another.
        """
        from ..integrations.mlflow import model_lookup, runs

        settings = settings_of(store)
        try:
            uri = runs.address(settings.get_tracking_uri() if settings else None)
            found = model_lookup.find(uri, named)
        except FeastNbError:
            return named, None  # MLflow says itself what is wrong with it
        return model_lookup.address_of(found), (uri, found)

    def note(self, known: tuple[str, ModelRef] | None) -> None:
        """Remember what the open run loaded, and tag it with the run the model was trained in."""
        from ..integrations.mlflow import contract_store, model_lookup, writer

        run = self._runs.of_call()
        if run is None or known is None:
            return
        uri, found = known
        if not found.name and found.run_id:  # a version's tags are Feast's to write
            tags = {"feast.training_run_id": found.run_id}
            writer.write(run.tracking_uri, run.id, tags, {})
        contract = contract_store.contract_of(uri, found)
        if contract is not None:
            refs, service = contract.features or contract.refs, contract.service
        else:
            left = model_lookup.read_native_tags(uri, found)
            refs, service = left.refs or (), left.version or left.run
        if refs:
            self._of_run.setdefault(run.id, []).append(
                LoadedModel(found.shown, tuple(refs), service)
            )

    def check(self, refs: Sequence[str], service: str | None) -> None:
        """Say where an online retrieval lacks features of the models that its run has loaded."""
        run = self._runs.of_call() if self._of_run else None
        models = self._of_run.get(run.id, []) if run else []
        if not models or any(set(m.refs) <= set(refs) for m in models):
            return
        model = models[-1]
        lacking = [r for r in model.refs if r not in refs]
        asked = f"service {service}" if service else "this retrieval"
        self._say(
            f"{model.shown} was trained on {model.service or 'other features'}, and {asked} has no "
            f"{', '.join(lacking[:5])}; %feast_resolve {model.shown} says what to serve."
        )
