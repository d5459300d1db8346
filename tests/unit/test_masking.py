"""No secret that stands in a cell, a query, an error or an address is kept; what is none stays."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feast_nb.masking import masked, masked_text, public_uri, without_secrets

S = "hunter2"
CELLS = [
    "password = 'hunter2'",
    "password: str = 'hunter2'",
    "db_pass = 'hunter2'",
    "dbPassword = 'hunter2'",
    "self.client_secret = 'hunter2'",
    "client_secret = 'a' 'hunter2'",
    "client_secret = 'a' + 'hunter2'",
    "token = f'x-{n}-hunter2'",
    "if (token := 'hunter2'): pass",
    "password = b'hunter2'",
    "password = '''\nhunter2\n'''",
    "user, password = 'bob', 'hunter2'",
    "auth = ('bob', 'hunter2')",
    "headers = {'Authorization': 'Bearer hunter2'}",
    "headers['X-Api-Key'] = 'hunter2'",
    "params = [('api_key', 'hunter2')]",
    "connect(password = (\n'hunter2'))",
    "connect('db', 'bob', passwd='hunter2')",
    "def connect(host, password='hunter2'): ...",
    "def connect(*, api_token='hunter2'): ...",
    "f = lambda token='hunter2': token",
    "os.environ.setdefault('AWS_SECRET_ACCESS_KEY', 'hunter2')",
    "os.environ['DB_PASSWORD'] = 'hunter2'",
    "key = SecretStr('hunter2')",
    "api.login('bob', 'hunter2')",
    "assert password == 'hunter2'",
    "password = os.environ.get('DB_PASSWORD', 'hunter2')",
    "engine = create_engine('postgresql://bob:hunter2@db/x')",
    "c = 'localhost:6379,password=hunter2,ssl=true'",
    "dsn = 'host=db user=bob password=hunter2'",
    "connect('host=db user=bob password=hunter2')",
    "url = f'https://h/v1?api_key=hunter2&u={k}'",
    "u = 'https://h/c/x?sig=hunter2'",
    "x = 1  # the password: hunter2",
    "private_key = '''-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----'''",
    "text = '''-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----'''",
    'config = \'{"password": "hunter2"}\'',
    "%env MY_TOKEN=hunter2",
    "%env MY_TOKEN hunter2",
    "x = 1\n!export MY_TOKEN=hunter2\ny = 2",
    "!mysql -u bob -phunter2 db",
    "out = !curl -u bob:hunter2 https://h",
    "!curl -H 'Authorization: Bearer hunter2' https://h",
    "%%bash\nexport MY_TOKEN=hunter2",
    "%%sql postgresql://bob:hunter2@db/x\nselect 1",
    "%%sql\nALTER USER bob IDENTIFIED BY 'hunter2'",
    "%%sql\nCREATE SECRET (TYPE s3, KEY_ID 'AKIAIOSFODNN7EXAMPLE', SECRET 'hunter2')",
    "%%feast_train v1\npassword = 'hunter2'",
    "for x in y:\n    %time f(password='hunter2')",
    "no python at all: password = 'hunter2' (",
]
KEYS = [
    "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "github_pat_" + "a1B2" * 6, "sk-" + "a1B2" * 10,
    "sk-ant-api03-" + "a1B2" * 10, "hf_" + "aB" * 17, "dapi" + "0a1b" * 8, "xoxb-123456789012-abcdef",
    "glpat-" + "a1B2" * 5, "AIza" + "a1B2c" * 7, "npm_" + "a1B2" * 9, "SG." + "a" * 22 + "." + "b" * 43,
    "sk_live_" + "a1B2" * 6, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdef",
    "https://hooks.slack.com/services/T0/B0/abc",
]  # fmt: skip
PLAIN = [
    "tokenizer = AutoTokenizer.from_pretrained('bert-base')",
    "max_tokens = 512",
    "passenger_count = 'trips'",
    "df.merge(other, on='driver_id', how='left')",
    "key = 'driver_id'",
    "primary_key = 'id'",
    "password = os.environ['DB_PASSWORD']",
    "password = os.getenv('DB_PASSWORD')",
    "password = getpass('Password: ')",
    "url = 'https://example.com/a?b=c'",
    "x = {'columns': ['conv_rate', 'acc_rate'], 'compass': 'north'}",
    "%feast_train v1 --service activity",
    "SELECT driver_id, event_timestamp FROM trips WHERE passed = 'yes'",
    "store = FeatureStore('.')",
    "author = 'Ann'",
    "design = 'blue'",
    "signal = 'red'",
]


@pytest.mark.parametrize("cell", CELLS)
def test_a_secret_in_a_cell_is_gone(cell: str) -> None:
    found = masked(cell)

    assert S not in found
    assert "…" in found
    assert found.count("\n") >= cell.count("\n") - 2


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_known_by_its_look_is_gone_wherever_it_stands(key: str) -> None:
    for text in (f"f('{key}')", f"x = 1  # {key}", f"curl {key}", f"%%bash\necho {key}"):
        assert key not in masked(text)
    assert key not in masked_text(f"ValueError: bad key {key}.")


@pytest.mark.parametrize("cell", PLAIN)
def test_what_is_no_secret_stays_as_it_is(cell: str) -> None:
    assert masked(cell) == cell


@pytest.mark.parametrize(
    "cell", [c for c in CELLS if not c.startswith(("%", "!", "no", "x = 1\n!"))]
)
def test_a_masked_cell_is_python_where_it_was(cell: str) -> None:
    try:
        ast.parse(cell)
    except SyntaxError:
        return
    ast.parse(masked(cell))


@given(st.text(max_size=200))
def test_any_text_can_be_masked_twice(text: str) -> None:
    once = masked(text)

    assert masked(once) == once or "…" in once


@pytest.mark.parametrize(
    "text",
    ["OperationalError: could not connect to postgresql://bob:hunter2@db/x",
     "redis://:hunter2@localhost:6379/0", "localhost:6379,password=hunter2",
     "https://h/x?X-Amz-Signature=hunter2&y=1", "DefaultEndpointsProtocol=https;AccountKey=hunter2;",
     "SELECT * FROM read('s3://b/x', secret 'hunter2')"],
)  # fmt: skip
def test_a_secret_in_an_error_a_query_or_an_address_is_gone(text: str) -> None:
    assert S not in masked_text(text)
    assert S not in str(without_secrets({"a": [text], "b": {"c": text}}))


def test_an_address_keeps_all_but_who_may_open_it() -> None:
    assert public_uri("https://h/x?sig=hunter2&b=c") == "https://h/x?sig=…&b=c"
