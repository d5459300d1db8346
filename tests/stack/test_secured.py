"""Feast's servers with certificates, asking an identity provider who one is: they let us in, or one
line says who does not.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from ..conftest import Notebook
from .feast_servers import Certificate
from .identity_provider import CLIENT, SECRET, USERS
from .secured import Secured, started
from .story import entities

TRAIN = (
    "%%feast_train v1 --service activity --entity-df drivers --register m\n"
    "from sklearn.linear_model import LogisticRegression\n"
    "inputs = training_df[['trips', 'conv_rate']]\n"
    "model = LogisticRegression().fit(inputs, training_df['y'])"
)
LOAD = "%feast_materialize --start 2024-01-01 --end 2024-01-12"
ONLINE = "%feast_score m/1 --entities keys"
AS_OF = "%feast_score m/1 --entities then --as-of event_timestamp"
AGAIN = "%feast_reproduce m/1 --verify"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with started(tmp_path_factory.mktemp("secured")) as found:
        yield found


@pytest.fixture
def book(notebook: Notebook) -> Notebook:
    notebook.space["drivers"] = entities()
    notebook.space["then"] = entities().drop(columns="y")
    notebook.space["keys"] = entities()[["driver_id"]].assign(bonus=1)
    return notebook


@pytest.fixture
def ana(secured: Secured, book: Notebook, template: Path) -> Path:
    """The repository of an engineer's, who has trained a model and loaded its features."""
    repo = secured.folder / "notebooks" / "ana"
    if not repo.exists():
        secured.notebook("ana")
        shutil.copy(template / "mlflow.db", repo)
        opened(book, repo)
        for door in (TRAIN, LOAD):
            book.run(door)
    return repo


def opened(book: Notebook, repo: Path) -> None:
    book.run(f"store = %feast_store {repo}")


def as_another(secured: Secured, ana: Path, name: str, **how: Any) -> Path:
    """A notebook of a name with ana's models at hand; set up another way where told."""
    repo = secured.notebook(name, **how)
    shutil.copy(ana / "mlflow.db", repo / "mlflow.db")
    return repo


def said(book: Notebook, source: str) -> str:
    """The one line that a cell fails with; no secret is in it."""
    line = book.fails(source).strip()
    assert "\n" not in line, line
    for secret in (SECRET, *(password for password, _ in USERS.values())):
        assert secret not in line
    return line


def test_the_whole_way_is_gone(secured: Secured, ana: Path, book: Notebook) -> None:
    """Feast's own settings, and no more: `auth`, and `cert` of each server."""
    opened(book, ana)
    assert not book.run("%feast_plan").changes
    assert book.run(AGAIN).verdict == "identical"
    online = book.run(ONLINE)["prediction"].tolist()
    assert online == book.run(AS_OF)["prediction"].tolist()
    health = book.run("%feast_health --seconds 60 --model m/1")
    assert {line.light for line in health.lines} == {"green"}, health.lines
    kept = [file for folder in (ana, Path.cwd().parent) for file in folder.rglob("*")]
    for file in kept:
        if file.is_file() and file.name != "feature_store.yaml":
            for secret in (SECRET, USERS["ana"][0]):
                assert secret.encode() not in file.read_bytes(), file


DENIED = (
    r"StoreError: .*server at (https://)?127\.0\.0\.1:\d+ refuses \(Permission engineers denied "
)
DENIED += r"execution of \['{}'\] to FeatureView:hourly: .*\); see to your permissions\.$"


def test_what_a_reader_may_not_do_is_one_line(secured: Secured, ana: Path, book: Notebook) -> None:
    opened(book, as_another(secured, ana, "ben"))
    assert "the offline server" in (line := said(book, TRAIN))
    assert re.match(DENIED.format("READ_OFFLINE"), line), line
    assert "the feature server" in (line := said(book, LOAD))
    assert re.match(DENIED.format("WRITE_ONLINE"), line), line
    for door in (ONLINE, AS_OF, AGAIN):
        assert re.match(r"StoreError: the \w+ server at \S+ refuses \(Perm", said(book, door))


@pytest.mark.parametrize(
    ("name", "auth", "words"),
    [
        ("eve", "", "the registry server at {registry} refuses (Permission "),
        ("another", "by another password",
         "the identity provider at {identity}/token gives no token (400 - "),
        ("nobody", "{type: oidc, token_env_var: NO_SUCH_TOKEN}",
         "there is no token to show the registry server at {registry} (token_env_var="),
        ("forged", '{type: oidc, token: "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"}',
         "the registry server at {registry} does not know who asks ("),
        ("silent", "{type: no_auth}", "the registry server at {registry} does not know who asks ("),
    ],
)  # fmt: skip
def test_who_is_not_let_in_is_one_line(
    secured: Secured, book: Notebook, name: str, auth: str, words: str
) -> None:
    if auth == "by another password":
        auth = secured.by_password("ana", "another")
    repo = secured.notebook(name, auth=auth)
    line = said(book, f"%feast_store {repo}")
    identity = f"http://{secured.identity.address}"
    words = words.format(registry=secured.registry.address, identity=identity)
    assert line.startswith(f"RepositoryError: cannot use {repo}/feature_store.yaml: {words}")


def test_kubernetes_authentication_shows_its_token(
    secured: Secured, ana: Path, book: Notebook
) -> None:
    """No Kubernetes is here to look at it: the servers have the identity provider look."""
    asked = {"grant_type": "password", "client_id": CLIENT, "client_secret": SECRET,
             "username": "ana", "password": USERS["ana"][0]}  # fmt: skip
    with urlopen(f"http://{secured.identity.address}/token", urlencode(asked).encode()) as answer:
        token = json.loads(answer.read())["access_token"]
    auth = f'{{type: kubernetes, user_token: "{token}"}}'
    opened(book, as_another(secured, ana, "kubernetes", auth=auth))
    assert book.run(AGAIN).verdict == "identical"
    assert len(book.run(ONLINE)) == len(entities())


# ------------------------------------------------------------------ certificates


@pytest.fixture(scope="module")
def strange(secured: Secured) -> Path:
    """The authority of other servers' certificates."""
    return Certificate.made(secured.folder / "strange").authority


@pytest.mark.parametrize(
    ("part", "door", "who"),
    [("registry", "", "registry"), ("online_store", ONLINE, "feature"),
     ("online_store", LOAD, "feature"), ("offline_store", AS_OF, "offline")],
)  # fmt: skip
@pytest.mark.parametrize("how", ["strange", "clear"])
def test_a_certificate_that_is_not_trusted_is_one_line(
    secured: Secured, ana: Path, book: Notebook, strange: Path, part: str, door: str, who: str,
    how: str,
) -> None:  # fmt: skip
    """Of the one server whose settings name another's, or none."""
    name = f"{how}-{part}-{door[7:10]}"
    repo = as_another(secured, ana, name, auth=secured.by_password("ana"))
    assert secured.registry.certificate
    own = str(secured.registry.certificate.authority)
    lines = (repo / "feature_store.yaml").read_text().splitlines()
    for place, line in enumerate(lines):
        if line.startswith(part):
            clear = line.replace(f', cert: "{own}"', "").replace("https", "http")
            lines[place] = line.replace(own, str(strange)) if how == "strange" else clear
    (repo / "feature_store.yaml").write_text("\n".join(lines))

    if door:
        opened(book, repo)
    line = said(book, door or f"%feast_store {repo}")
    server = {"registry": secured.registry, "online_store": secured.online,
              "offline_store": secured.offline}[part]  # fmt: skip
    wrong = {"strange": r"has a certificate that is not trusted \(.*\); name its own in",
             "clear": "speaks TLS; name its certificate in"}[how]  # fmt: skip
    who = rf"the {who} server at (https?://)?{re.escape(server.address)}"
    assert re.search(rf"{who} {wrong} `cert` of {part}", line), line


# ------------------------------------------------------------------ the last one: it ends it


def test_an_identity_provider_that_hangs_or_is_down_is_one_line(
    secured: Secured, book: Notebook
) -> None:
    from feast.permissions.client import oidc_authentication_client_manager as tokens

    repo = secured.notebook("late", auth=secured.by_password("ana"))
    who = f"the identity provider at {secured.identity.discovery} "
    tokens._token_cache.clear()
    secured.identity.signal(signal.SIGSTOP)
    try:
        assert f"{who}did not answer in time; see auth" in said(book, f"%feast_store {repo}")
    finally:
        secured.identity.signal(signal.SIGCONT)
    secured.identity.end()
    assert f"{who}cannot be reached; see auth" in said(book, f"%feast_store {repo}")
