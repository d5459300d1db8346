"""What a cell's text says."""

from __future__ import annotations

import pytest

from feast_nb import masking
from feast_nb.notebook import dataflow


@pytest.mark.parametrize(
    ("source", "flows"),
    [
        ("b = a", [({"b"}, {"a"})]),
        ("b = c = a", [({"b"}, {"a"}), ({"c"}, {"a"})]),
        ("x, (y, *z) = f(a)", [({"x", "y", "z"}, {"f", "a"})]),
        ("b['n'] = a['n']", [({"b"}, {"a"})]),
        ("b.n = a.n", [({"b"}, {"a"})]),
        ("b += a", [({"b"}, {"a"})]),
        ("b: int = a", [({"b"}, {"a"})]),
        ("b: int", []),
        ("b.insert(0, 'n', a)", [({"b"}, {"a", "b"})]),
        ("for p in ps:\n    b = a", [({"p"}, {"ps"}), ({"b"}, {"a"})]),
        ("with o() as f:\n    b = a", [({"f"}, {"o"}), ({"b"}, {"a"})]),
        ("try:\n    b = a\nexcept E:\n    c = d", [({"b"}, {"a"}), ({"c"}, {"d"})]),
        ("if a:\n    b = a\nelse:\n    c = d", [({"b"}, {"a"}), ({"c"}, {"d"})]),
        ("def f():\n    b = a", []),
        ("print(a)", []),
        ("b = (", []),
    ],
)
def test_what_a_cell_makes_of_what(source: str, flows: list[tuple[set[str], set[str]]]) -> None:
    assert [(set(c), set(r)) for c, r in dataflow.flows(source)] == flows


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("%%time\nx = 1", "x = 1"),
        ("\n%%capture out\n%%feast_train v1\n\nx = 1\n", "x = 1\n"),
        ("x = 1", "x = 1"),
        ("%time x = 1", "%time x = 1"),
        ("", ""),
    ],
)
def test_cell_magics_are_taken_off(source: str, plain: str) -> None:
    assert dataflow.without_magic(source) == plain


SECRETS = [
    "password = 'hunter2'",
    'DB_PASSWORD="hunter2"',
    "connect(user='me', password = 'hunter2')",
    "{'api_key': 'hunter2'}",
    "os.environ['AWS_SECRET_ACCESS_KEY'] = 'hunter2'",
    "os.environ.setdefault('HF_TOKEN', 'hunter2')",
    "%env GITHUB_TOKEN=hunter2",
    "!export DB_PWD=hunter2",
    "create_engine('postgresql://me:hunter2@host/db')",
    "token = f'hunter2'",
]


@pytest.mark.parametrize("source", SECRETS)
def test_secrets_are_taken_out(source: str) -> None:
    assert "hunter2" not in masking.masked(source)
    assert "…" in masking.masked(source)


@pytest.mark.parametrize(
    "source",
    ["AKIAABCDEFGHIJKLMNOP", "ghp_" + "a" * 30, "sk-" + "a" * 40, "hf_" + "a" * 30,
     "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.abc-def"],
)  # fmt: skip
def test_keys_are_known_by_their_look(source: str) -> None:
    assert source not in masking.masked(f"call('{source}')")


@pytest.mark.parametrize(
    "source",
    ["tokens = tokenizer(text)", "x = df['password_length']", "url = 'http://host/path'",
     "key = 'driver_id'", "n_tokens = 5"],
)  # fmt: skip
def test_what_is_no_secret_stays(source: str) -> None:
    assert masking.masked(source) == source


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("b = a", {"a"}),
        ("df = f()\ndf.head()", {"f"}),
        ("df = df.dropna()", {"df"}),
        ("df.head()\ndf = f()", {"df", "f"}),
        ("with run():\n    df = f()\n    fit(df)", {"run", "f", "fit"}),
        ("with run() as r:\n    fit(df)\n    r.x", {"run", "fit", "df"}),
        ("for a in b:\n    fit(a, c)", {"b", "fit", "c"}),
        ("if x:\n    df = f()\nfit(df)", {"x", "f", "fit", "df"}),
        ("try:\n    df = f()\nexcept E:\n    pass\nfit(df)", {"f", "fit"}),
        ("def g():\n    return df", {"df"}),
        ("import m\nm.x(y)", {"y"}),
        ("x = (", set()),
    ],
)
def test_what_a_cell_reads_from_before(source: str, read: set[str]) -> None:
    """A variable that the cell binds first holds another cell's value when it starts."""
    assert dataflow.names_read(source) == read
