"""What is used of Feast's that is not public: where a newer Feast changes it, this says so first."""

from __future__ import annotations

import inspect

import pytest


def test_definition_files_are_read_by_its_own_reader() -> None:
    from feast import repo_operations

    read = inspect.signature(repo_operations._get_repo_contents).parameters
    apply = inspect.signature(repo_operations.apply_total_with_repo_instance).parameters
    assert list(read) == ["repo_path", "project_name", "repo_config"]
    assert list(apply)[:5] == [
        "store",
        "project_name",
        "registry",
        "repo",
        "skip_source_validation",
    ]


def test_a_feature_servers_answer_is_built_in_one_place() -> None:
    from feast.infra.online_stores.remote import RemoteOnlineStore

    built = inspect.signature(RemoteOnlineStore._build_online_response_from_json).parameters
    assert list(built) == ["self", "resp_json"]


def test_what_is_written_to_a_registry_server_ends_with_a_commit() -> None:
    from feast.infra.registry.remote import RemoteRegistry

    assert "commit" in vars(RemoteRegistry)


def test_requests_adapters_have_their_retries_where_they_are_set() -> None:
    adapters = pytest.importorskip("requests.adapters")

    assert "max_retries" in vars(adapters.HTTPAdapter())
    assert callable(adapters.Retry)


def test_a_services_references_are_asked_of_a_registry_by_its_name_and_remembered() -> None:
    """`integrations/feast/definitions.py` stands in for the registry, with Feast's own memory."""
    from feast import FeatureService, utils

    asked = inspect.signature(utils._get_features).parameters
    assert list(asked) == ["registry", "project", "features", "allow_cache"]

    class Registry:
        def __init__(self) -> None:
            self._feature_service_cache: dict[str, list[str]] = {}
            self.names: list[str] = []

        def get_feature_service(self, name: str, project: str, allow_cache: bool) -> object:
            self.names.append(name)
            return FeatureService(name=name, features=[])

    registry, service = Registry(), FeatureService(name="s", features=[])
    for _ in range(2):
        assert utils._get_features(registry, "p", service, allow_cache=True) == []
    assert registry.names == ["s"]
    assert list(registry._feature_service_cache.values()) == [[]]


def test_an_offline_servers_error_is_read_from_its_text() -> None:
    from feast.arrow_error_handler import _get_exception_data

    said = 'Flight error: {"module": "feast.errors", "class": "FeastPermissionError", "message": "no"} y'
    assert "FeastPermissionError" in str(_get_exception_data(said))
    assert not _get_exception_data("nothing of Feast's")
