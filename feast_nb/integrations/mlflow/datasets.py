"""Training frames as MLflow shows them: dataset inputs of a run, whose source loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

from ...records.retrieval import Retrieval
from .clients import client

SOURCE_TYPE = "feast"


def log(uri: str, run_id: str, retrievals: Sequence[Retrieval]) -> None:
    """Write training frames as dataset inputs of a run, in one request; twice changes nothing.

    The digest is the fingerprint; the source holds the references and where the entity frame is
    kept (`mlflow.data.get_source(run.inputs.dataset_inputs[0]).load()` downloads it).
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tag = InputTag("mlflow.data.context", "training")
    inputs = [
        DatasetInput(
            Dataset(
                name=_name(r),
                digest=str(r.result.fingerprint),
                source_type=SOURCE_TYPE,
                source=json.dumps(_source(run_id, r)),
                schema=_schema(r),
                profile=json.dumps({"num_rows": r.result.rows}),
            ),
            [tag],
        )
        for r in retrievals
        if r.result is not None and r.result.fingerprint
    ]
    if inputs:
        client(uri).log_inputs(run_id, inputs)


def _name(retrieval: Retrieval) -> str:
    """A service's name, else those of the views."""
    name = retrieval.service or "+".join(v.name for v in retrieval.views)
    return (name or retrieval.project)[:500]


def _source(run_id: str, retrieval: Retrieval) -> dict[str, object]:
    entity = retrieval.entity
    kept_by = retrieval.origin or run_id
    where = f"runs:/{kept_by}/{entity.artifact}" if entity.artifact else entity.elsewhere
    return {
        "uri": where,
        "project": retrieval.project,
        "service": retrieval.service,
        "features": list(retrieval.refs),
        "retrieval": retrieval.id,
        "query": entity.query,
        "start": entity.start,
        "end": entity.end,
    }


_KINDS = {"bool": "boolean", "int64": "long", "int32": "integer", "int16": "integer",
          "int8": "integer", "double": "double", "float": "float", "string": "string",
          "binary": "binary"}  # fmt: skip


def _schema(retrieval: Retrieval) -> str | None:
    """The result's columns as MLflow writes a schema of columns; other types are `object`s."""
    assert retrieval.result is not None
    columns = [
        {
            "type": "datetime"
            if c.dtype.startswith("timestamp")
            else _KINDS.get(c.dtype, "string"),
            "name": c.name,
            "required": not c.nulls,
        }
        for c in retrieval.result.columns
    ]
    text = json.dumps({"mlflow_colspec": columns})
    return text if len(text) <= 60_000 else None  # MLflow's limit is 65,535 characters


def source_class() -> type:
    """The class by which MLflow reads such a source back; an entry point names it."""
    from mlflow.data.dataset_source import DatasetSource

    class FeastRetrievalSource(DatasetSource):  # type: ignore[misc]
        """A training frame as Feast gave it: references, and the entity rows where kept."""

        def __init__(self, **fields: Any) -> None:
            self._fields = fields

        @staticmethod
        def _get_source_type() -> str:
            return SOURCE_TYPE

        @property
        def features(self) -> list[str]:
            """The references, in the order asked."""
            return list(self._fields.get("features") or ())

        @property
        def uri(self) -> str | None:
            """Where the entity frame is kept; None where it is not."""
            uri = self._fields.get("uri")
            return str(uri) if uri else None

        def load(self, dst_path: str | None = None) -> str:
            """Download the entity frame; returns the path of a Parquet file."""
            from mlflow.artifacts import download_artifacts
            from mlflow.exceptions import MlflowException

            if self.uri is None:
                raise MlflowException(
                    "no entity frame is kept for this training frame; its references are in "
                    "`.features`."
                )
            return str(download_artifacts(artifact_uri=self.uri, dst_path=dst_path))

        @staticmethod
        def _can_resolve(raw_source: object) -> bool:
            return False

        @classmethod
        def _resolve(cls, raw_source: object) -> Self:
            raise NotImplementedError

        def to_dict(self) -> dict[str, Any]:
            return dict(self._fields)

        @classmethod
        def from_dict(cls, source_dict: dict[str, Any]) -> Self:
            return cls(**source_dict)

    return FeastRetrievalSource


def __getattr__(name: str) -> Any:
    """`FeastRetrievalSource`, made when MLflow asks for it: its base class is MLflow's."""
    if name != "FeastRetrievalSource":
        raise AttributeError(name)
    globals()[name] = source_class()
    return globals()[name]
