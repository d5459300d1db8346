"""Who is at fault, by what the clients of stores raise; and what is left alone."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from sqlalchemy.exc import OperationalError, ProgrammingError

from feast_nb.errors import FeatureError, StoreError
from feast_nb.integrations.feast.servers import store_door, store_faults


def store(online: str = "remote") -> Any:
    return SimpleNamespace(
        config=SimpleNamespace(
            online_store=SimpleNamespace(
                type=online, path="http://me:secret@features:6566", connection_string="redis:6379,password=secret"
            ),
            registry=SimpleNamespace(path="postgresql://me:secret@db/feast"),
            offline_store=SimpleNamespace(host="offline", port=8815),
        )
    )  # fmt: skip


def raised(part: Any, problem: BaseException, online: str = "remote") -> BaseException:
    try:
        with store_door.asking(store(online), part):
            raise problem
    except BaseException as found:
        return found


@pytest.mark.parametrize(
    ("part", "problem", "said"),
    [
        ("online store", requests.ConnectionError("no"), "feature server at http://features:6566"),
        ("online store", requests.ReadTimeout("slow"), "did not answer within 4.5 s"),
        ("online store", requests.exceptions.SSLError("bad"), "certificate that is not trusted"),
        ("online store", RuntimeError("Failed to get online features: 500 oh"), "answered 500 oh"),
        ("registry", OperationalError("x", {}, Exception("refused")), "database at postgresql://db"),
        ("online store", sqlite3.OperationalError("no such table: p_v"), "then materialize"),
        ("online store", sqlite3.OperationalError("database is locked"), "by another process"),
    ],
)  # fmt: skip
def test_who_is_at_fault_is_one_line(part: str, problem: BaseException, said: str) -> None:
    found = raised(part, problem)

    assert isinstance(found, StoreError)
    assert said in str(found)
    assert "secret" not in str(found)
    assert "\n" not in str(found)
    assert found.__cause__ is problem


@pytest.mark.parametrize(
    ("part", "problem", "online"),
    [
        ("offline store", ProgrammingError("SELECT", {}, Exception("no such column")), "remote"),
        ("offline store", requests.ConnectionError("a warehouse's"), "remote"),
        ("online store", requests.ConnectionError("another store's"), "dynamodb"),
        ("online store", KeyError("driver_id"), "remote"),
        ("online store", FeatureError("ours"), "remote"),
        ("online store", KeyboardInterrupt(), "remote"),
    ],
)
def test_what_is_no_fault_of_theirs_passes(part: str, problem: BaseException, online: str) -> None:
    assert raised(part, problem, online) is problem


def test_a_fault_behind_another_error_is_found() -> None:
    outer = ValueError("cannot read")
    outer.__cause__ = requests.ConnectionError("refused")

    assert "cannot be reached" in str(raised("online store", outer))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("cache:6379,password=hunter2", "cache:6379"),
        ("password=hunter2,cache:6379", "cache:6379"),
        ("", "its address"),
    ],
)
def test_a_redis_is_named_without_its_password(given: str, shown: str) -> None:
    assert store_faults.redis_address(SimpleNamespace(connection_string=given)) == shown


def test_a_server_with_a_user_in_its_address_is_looked_for_where_it_is() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert store_door.listens(f"http://me:secret@127.0.0.1:{port}/path")
    assert not store_door.listens(f"http://me:secret@127.0.0.1:{port}/path")
