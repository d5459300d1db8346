"""What Tab offers under the magics: from memory only, whatever the line looks like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from feast_nb.integrations.model_libraries.flavors import FLAVORS
from feast_nb.magics.completion import Completion
from feast_nb.magics.training import FeastMagics
from feast_nb.session.known_names import KnownNames

ROOT = Path(__file__).resolve().parents[2]


class Tab:
    """A shell, the magics with a session's memory, and what a Tab offers."""

    def __init__(self, **space: Any) -> None:
        self.shell = SimpleNamespace(
            user_ns=space, Completer=SimpleNamespace(custom_matchers=["theirs"])
        )
        self.magics = FeastMagics(None)
        known = KnownNames()
        known.services, known.refs = ("rates", "activity"), ("hourly:trips", "hourly:conv_rate")
        known.models = {"driver_model": ("champion", "old"), "other": ("champion",)}
        self.magics._session = SimpleNamespace(  # type: ignore[assignment]
            names=known,
        )
        self.completion = Completion(self.shell, self.magics)

    def matched(self, text: str, line: int | None = None) -> Any:
        lines = text.split("\n")
        at = len(lines) - 1 if line is None else line
        context = SimpleNamespace(full_text=text, cursor_line=at, cursor_position=len(lines[at]))
        return self.shell.Completer.custom_matchers[-1](context)

    def offers(self, text: str) -> list[str]:
        return [c.text for c in self.matched(text)["completions"]]


@pytest.fixture
def tab() -> Tab:
    return Tab(
        drivers=pd.DataFrame({"driver_id": [1]}),
        _3=pd.DataFrame(),
        number=3,
        model=LinearRegression(),
        _m=LinearRegression(),
    )


def test_options_after_two_dashes(tab) -> None:
    found = tab.offers("%%feast_train v1 --")

    assert {"--service", "--entity-df", "--register", "--from", "--help"} <= set(found)
    assert tab.offers("%%feast_train v1 --en") == ["--entity-df", "--end"]


def test_options_are_those_of_the_magic(tab) -> None:
    assert "--service" not in tab.offers("%feast_run --")
    assert tab.offers("%feast_log model --al") == ["--alias"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%%feast_train --service ", ["activity", "rates"]),
        ("%%feast_train v1 --service ra", ["rates"]),
        ("%%feast_train --features ", ["hourly:conv_rate", "hourly:trips"]),
        ("%%feast_train --features hourly:trips hourly:c", ["hourly:conv_rate"]),
        ("%%feast_train --entity-df ", ["drivers"]),
        ("%%feast_train --from ", ["drivers"]),
        ("%%feast_train --from drivers d", ["drivers"]),
        ("%%feast_train --model ", ["model"]),
        ("%%feast_train --register ", ["driver_model", "other"]),
        ("%%feast_train --register driver_model --alias ", ["champion", "old"]),
        ("%%feast_train --flavor ", sorted(FLAVORS)),
        ("%feast_run --end --status ", ["FAILED", "FINISHED", "KILLED"]),
        ("%feast_log ", ["model"]),
        ("%feast_log m", ["model"]),
        ("run = %feast_run --end --status K", ["KILLED"]),
        ("  %feast_log --register ", ["driver_model", "other"]),
    ],
)
def test_values_of_the_option_before(tab, line: str, offered: list[str]) -> None:
    assert tab.offers(line) == offered


@pytest.mark.parametrize(
    "line",
    ["%feast_run ", "%%feast_train v1 ", "%%feast_train --service rates ", "%feast_run --tag ",
     "%%feast_train --into ours --experiment ", "%feast_log model "],
)  # fmt: skip
def test_where_a_name_is_the_users_own_nothing_is_offered(tab, line: str) -> None:
    assert tab.offers(line) == []


def test_two_lines_of_features_and_then_another_option(tab) -> None:
    assert tab.offers("%%feast_train --features hourly:trips --service ") == ["activity", "rates"]


@pytest.mark.parametrize(
    "text",
    ["x = 1", "%matplotlib ", "%feast_nothing --", "feast_run --", "", "print('%feast_run --",
     "%feast_run", "%%feast_train --service s\nmodel.fi", "%_session --", "%feast_ --"],
)  # fmt: skip
def test_elsewhere_ipythons_own_completion_goes_on(tab, text: str) -> None:
    assert tab.matched(text) == {"completions": [], "suppress": False}


def test_the_line_of_the_cursor_counts(tab) -> None:
    text = "%%feast_train --service \nx = 1"

    assert [c.text for c in tab.matched(text, line=0)["completions"]] == ["activity", "rates"]


def test_under_a_magic_of_ours_nothing_else_is_offered(tab) -> None:
    found = tab.matched("%feast_log m")

    assert (found["suppress"], found["matched_fragment"]) == (True, "m")


def test_before_a_session_is_open_nothing_is_known_and_nothing_fails(tab) -> None:
    tab.magics._session = None

    assert tab.offers("%%feast_train --service ") == []
    assert tab.offers("%%feast_train --register ") == []
    assert tab.offers("%%feast_train --entity-df ") == ["drivers"]


def test_a_name_bound_since_is_offered(tab) -> None:
    tab.shell.user_ns["more"] = pd.DataFrame()

    assert tab.offers("%%feast_train --entity-df ") == ["drivers", "more"]


def test_remove_leaves_the_matchers_of_others(tab) -> None:
    tab.completion.remove()
    tab.completion.remove()

    assert tab.shell.Completer.custom_matchers == ["theirs"]


ODD = st.text(st.sampled_from("-= \t'\"%\\{[é:feast_train"), max_size=30)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(magic=st.sampled_from(["%feast_run", "%%feast_train", "%feast_log", "%feast_store"]), rest=ODD)  # fmt: skip
def test_no_line_is_too_odd(tab, magic: str, rest: str) -> None:
    found = tab.matched(f"{magic} {rest}")

    assert {"completions", "suppress"} <= set(found)


class Odd:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("outside of a request")


@pytest.mark.parametrize("option", ["--entity-df", "--model"])
def test_an_object_that_cannot_say_what_it_is_is_passed_over(tab, option: str) -> None:
    tab.shell.user_ns["odd"] = Odd()

    assert tab.offers(f"%%feast_train {option} ") == [
        {"--entity-df": "drivers", "--model": "model"}[option]
    ]


def test_a_tab_imports_no_library() -> None:
    code = """
import sys
from types import SimpleNamespace
from feast_nb.magics.completion import Completion
from feast_nb.magics.training import FeastMagics
shell = SimpleNamespace(user_ns={"x": 1}, Completer=SimpleNamespace(custom_matchers=[]))
Completion(shell, FeastMagics(None))
matcher = shell.Completer.custom_matchers[0]
for option in ("--", "--service ", "--features ", "--entity-df ", "--model ", "--register ",
               "--alias ", "--flavor ", "--from "):
    text = "%%feast_train " + option
    matcher(SimpleNamespace(full_text=text, cursor_line=0, cursor_position=len(text)))
heavy = {"feast", "mlflow", "pandas", "sklearn", "numpy", "pyarrow"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stdout.strip() == "[]"
