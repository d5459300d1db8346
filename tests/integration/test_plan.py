"""Which models a change of the definition files breaks: edit → diff, grade, models, exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feast_nb.errors import RepositoryError, UsageError
from feast_nb.records.operation import Plan

from ..conftest import NOW, stats

pytestmark = pytest.mark.xdist_group("plan")  # its models are trained once

YAML = """project: drivers
registry: registry.db
provider: local
online_store: {type: sqlite, path: online.db}
offline_store: {type: duckdb}
entity_key_serialization_version: 3
mlflow: {enabled: true, tracking_uri: "sqlite:///mlflow.db"}
"""
FEATURES = """from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
source = FileSource(name="stats", path="PLACE/stats.parquet", timestamp_field="event_timestamp")
hourly = FeatureView(
    name="hourly",
    entities=[driver],
    ttl=timedelta(days=3),
    schema=[
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="trips", dtype=Int64),
    ],
    source=source,
    description="what a driver did",
)


@on_demand_feature_view(sources=[hourly], schema=[Field(name="doubled", dtype=Float64)])
def doubled(inputs):
    inputs["doubled"] = inputs["conv_rate"] * 2.0
    return inputs[["doubled"]]


activity = FeatureService(name="activity", features=[hourly[["trips", "conv_rate"]]])
unused = FeatureService(name="unused", features=[hourly[["acc_rate"]]])
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Applied from its files; `m` (by the service, champion), `r` (references), `d` (on demand)."""
    from sklearn.linear_model import LinearRegression

    import feast_nb
    from feast_nb import recorder

    repo = tmp_path_factory.mktemp("plan") / "repo"
    repo.mkdir()
    stats().assign(rating=1).to_parquet(repo / "stats.parquet")
    (repo / "feature_store.yaml").write_text(YAML)
    (repo / "features.py").write_text(FEATURES.replace("PLACE", str(repo)))
    apply(repo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEAST_NB_STATE", str(repo.parent / "state"))
        session = feast_nb.open(repo)
        drivers = pd.DataFrame({"driver_id": range(10), "event_timestamp": NOW, "y": range(10)})

        def train(name: str, inputs: list[str], alias: str = "", **asked: Any) -> None:
            with session.train(
                name, entity_df=drivers, register=name, aliases=[alias] if alias else [], **asked
            ) as training:
                frame = training.frame
                training.model = LinearRegression().fit(frame[inputs], frame["y"])

        train("m", ["trips", "conv_rate"], "champion", service="activity")
        train("r", ["acc_rate"], features=["hourly:acc_rate"])
        train("d", ["doubled"], features=["doubled:doubled"])
        recorder.shut()
    return repo


def apply(repo: Path) -> None:
    command = [sys.executable, "-m", "feast.cli.cli", "-c", str(repo), "apply"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def repo(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "repo"))


def edit(repo: Path, *changes: tuple[str, str]) -> None:
    path = repo / "features.py"
    text = path.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


def planned(repo: Path, **options: Any) -> Plan:
    import feast_nb

    return feast_nb.open(repo).plan(**options)


def graded(plan: Plan) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Object → action, grade, the models it names."""
    return {c.object: (c.action, c.grade, tuple(m.shown for m in c.models)) for c in plan.changes}


TRIPS = '        Field(name="trips", dtype=Int64),\n'
ACC = '        Field(name="acc_rate", dtype=Float32),\n'
CHAMPION = "m/1 @champion"
BREAKS, RETRAIN, SAFE = "breaks serving", "needs retraining", "safe"
LINE_OF_TRIPS = 15

EDITS: list[tuple[str, list[tuple[str, str]], dict[str, Any], str]] = [
    ("nothing", [], {}, ""),
    ("a feature added", [(TRIPS, TRIPS + TRIPS.replace("trips", "rating"))],
     {"view=hourly": ("update", SAFE, ()),
      "view=doubled": ("update", RETRAIN, ("d/1",))}, "+ rating: Int64"),  # it reads all of hourly
    ("a feature that the source has not", [(TRIPS, TRIPS + TRIPS.replace("trips", "nosuch"))],
     {"view=hourly": ("update", BREAKS, (CHAMPION, "r/1", "d/1")),
      "view=doubled": ("update", RETRAIN, ("d/1",))}, "its source has no column nosuch"),
    ("a feature removed", [(ACC, ""), ('unused", features=[hourly[["acc_rate"]]]',
                                       'unused", features=[hourly[["trips"]]]')],
     {"view=hourly": ("update", BREAKS, ("r/1", "d/1")),
      "view=doubled": ("update", RETRAIN, ("d/1",)),
      "service=unused": ("update", SAFE, ())}, "- acc_rate: Float32"),
    ("a feature retyped", [("dtype=Int64", "dtype=Float32")],
     {"view=hourly": ("update", BREAKS, (CHAMPION, "d/1"))}, "+ trips: Float32"),
    ("another TTL", [("days=3", "days=1")],
     {"view=hourly": ("update", RETRAIN, (CHAMPION, "r/1", "d/1"))}, "+ TTL: 1 day"),
    ("a description", [("what a driver did", "what drivers did")],
     {"view=hourly": ("update", SAFE, ())}, ""),
    ("on-demand code", [("* 2.0", "* 3.0")],
     {"view=doubled": ("update", RETRAIN, ("d/1",))}, "conv_rate\"] * 3.0"),
    ("a service loses a feature", [('["trips", "conv_rate"]', '["conv_rate"]')],
     {"service=activity": ("update", BREAKS, (CHAMPION,))}, "- hourly:trips"),
    ("a service reordered", [('["trips", "conv_rate"]', '["conv_rate", "trips"]')],
     {"service=activity": ("update", SAFE, ())}, "+ order: hourly:conv_rate, hourly:trips"),
    ("a service grows", [('["trips", "conv_rate"]', '["trips", "conv_rate", "acc_rate"]')],
     {"service=activity": ("update", SAFE, ())}, "+ hourly:acc_rate"),
    ("a service asks by other keys",
     [('hourly[["trips", "conv_rate"]]',
       'hourly[["trips", "conv_rate"]].with_join_key_map({"driver_id": "origin_id"})')],
     {"service=activity": ("update", BREAKS, (CHAMPION,))}, "+ join keys of hourly"),
    ("a key of another type", [("ValueType.INT64", "ValueType.STRING")],
     {"entity=driver": ("update", BREAKS, (CHAMPION, "r/1", "d/1")),
      "view=hourly": ("update", BREAKS, (CHAMPION, "r/1", "d/1"))}, "+ value type: String"),
    ("a timestamp field that is not there", [("event_timestamp", "moment")],
     {"view=hourly": ("update", BREAKS, (CHAMPION, "r/1", "d/1")),
      "source=stats": ("update", SAFE, ())}, "moment"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "changes", "expected", "line"), EDITS, ids=[e[0] for e in EDITS])
def test_an_edit_has_its_grade_and_its_models(
    repo: Path, what: str, changes: list[tuple[str, str]], expected: dict[str, Any], line: str
) -> None:
    edit(repo, *changes)
    before = (repo / "registry.db").read_bytes()

    plan = planned(repo)

    found = graded(plan)
    for name, (action, grade, models) in expected.items():
        assert found[name][:2] == (action, grade), plan
        assert models is None or sorted(found[name][2]) == sorted(models), plan
    graver = {name for name, (_, grade, _) in found.items() if grade != SAFE}
    assert graver == {name for name, (_, grade, _) in expected.items() if grade != SAFE}
    assert bool(found) == bool(expected)
    assert line in str(plan)
    assert not plan.unchecked
    assert (repo / "registry.db").read_bytes() == before


def test_a_model_without_a_contract_is_graded_by_its_references(repo: Path) -> None:
    """What Feast and MLflow alone registered has none: it is never said to be served as before."""
    from mlflow import MlflowClient

    api = MlflowClient(f"sqlite:///{repo}/mlflow.db")
    run = api.get_model_version("r", "1").run_id
    api.create_registered_model("bare")
    api.create_model_version("bare", f"runs:/{run}/nowhere", run)
    edit(
        repo, (ACC, ""), ('unused", features=[hourly[["acc_rate"]]]', 'unused", features=[hourly]')
    )
    plan = planned(repo)
    assert "bare/1" in graded(plan)["view=hourly"][2]

    edit(repo, ("days=3", "days=1"))
    (repo / "features.py").write_text(
        (repo / "features.py").read_text().replace(TRIPS, TRIPS + ACC)
    )
    assert any("bare/1 uses hourly and has no contract" in t for t in planned(repo).unchecked)


def test_no_password_of_a_driver_is_shown(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from feast_nb.operations import source_check

    said = "view hourly: OperationalError: postgresql://u:s3cret@h/db refuses"
    monkeypatch.setattr(source_check, "look", lambda *_: ([said], {}))

    plan = planned(repo)
    assert "s3cret" not in f"{plan} {plan.to_dict()}"
    assert "refuses" in str(plan)


def test_an_editors_lock_is_no_definition(repo: Path) -> None:
    (repo / ".#features.py").symlink_to("me@host.123:456")

    assert planned(repo).changes == ()


def test_the_line_of_the_definition_is_known(repo: Path) -> None:
    edit(repo, ("dtype=Int64", "dtype=Float32"))
    (change,) = planned(repo).changes

    assert (change.file, change.line) == ("features.py", LINE_OF_TRIPS)
    assert change.reason == "hourly:trips was int64, is float"


def test_what_is_in_no_file_is_listed_and_graded_where_asked(repo: Path) -> None:
    from feast import FeatureService, FeatureStore

    store = FeatureStore(repo_path=str(repo))
    store.apply(FeatureService(name="mine", features=[store.get_feature_view("hourly")]))
    plan = planned(repo)
    assert plan.changes == ()
    assert plan.only_registered == ("service=mine",)

    (change,) = planned(repo, full=True).changes
    assert (change.object, change.action, change.grade) == ("service=mine", "delete", SAFE)


def test_a_view_that_goes_breaks_all_that_use_it(repo: Path) -> None:
    (repo / "features.py").write_text(
        "from feast import Entity, ValueType\n"
        'driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)\n'
    )
    found = graded(planned(repo, full=True))

    assert found["view=hourly"][:2] == ("delete", BREAKS)
    assert set(found["view=hourly"][2]) == {CHAMPION, "r/1", "d/1"}
    assert found["service=activity"] == ("delete", BREAKS, (CHAMPION,))
    assert found["service=unused"][1] == SAFE


def test_applying_what_is_planned_leaves_nothing_to_plan(repo: Path) -> None:
    edit(repo, ("dtype=Int64", "dtype=Float32"), ("days=3", "days=1"), ("* 2.0", "* 3.0"))
    assert len(planned(repo).changes) == 2
    apply(repo)

    assert planned(repo).changes == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (", r"do not parse \(features.py, line 1\): SyntaxError"),
        ("import nosuch_module", r"do not parse \(features.py, line 1\): ModuleNotFoundError"),
        ("\n\n1 / 0", r"do not parse \(features.py, line 3\): ZeroDivisionError"),
        ("raise SystemExit(1)", r"do not parse \(features.py, line 1\)"),
    ],
)
def test_files_that_do_not_parse_are_one_line(repo: Path, text: str, said: str) -> None:
    (repo / "features.py").write_text(text)

    with pytest.raises(RepositoryError, match=said):
        planned(repo)


def test_a_second_look_sees_the_edited_file_and_nothing_of_it_is_left_here(repo: Path) -> None:
    assert planned(repo).changes == ()
    edit(repo, ("days=3", "days=1"), ("driver = Entity", "print('hello')\ndriver = Entity"))

    assert graded(planned(repo))["view=hourly"][1] == RETRAIN
    assert "features" not in sys.modules


# ---------------------------------------------------------------------- the command


@pytest.fixture
def check(repo: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "feast_nb", "check", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=repo)

    return run


def test_the_gate_passes_what_is_the_same_and_refuses_what_breaks(repo: Path, check: Any) -> None:
    passed = check()
    assert (passed.returncode, passed.stderr) == (0, "")
    assert passed.stdout == "nothing to change: drivers is as the registry has it\n"

    edit(repo, ("dtype=Int64", "dtype=Float32"))
    refused = check("--format", "json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["kind"] == "plan"


def test_formats_for_github(repo: Path, check: Any) -> None:
    edit(repo, ("dtype=Int64", "dtype=Float32"))
    annotated = check("--format", "github").stdout
    assert annotated.startswith(
        f"::error file=features.py,line={LINE_OF_TRIPS},title=update view=hourly%3A breaks serving"
    )
    comment = check("--format", "markdown").stdout
    assert comment.splitlines()[0] == "**Breaks 2 model versions: `m/1 @champion`, `d/1`**"


def test_what_fails_is_chosen(repo: Path, check: Any) -> None:
    edit(repo, ("days=3", "days=1"))

    assert check().returncode == 0
    assert check("--fail-on", "retrain").returncode == 1


def snapshot(repo: Path, file: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "feast_nb",
        "snapshot",
        "--repo",
        str(repo),
        "--into",
        str(file),
    ]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def unreached(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The repository on a machine that reaches neither its registry nor MLflow; and a snapshot."""
    file = tmp_path / "kept" / "features.zip"
    file.parent.mkdir()
    done = snapshot(repo, file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{file}: drivers as of ")
    assert "3 model versions, 3 runs" in done.stdout
    monkeypatch.setenv("FEAST_NB_CACHE", str(tmp_path / "nothing here"))
    for name in ("mlflow.db", "registry.db"):
        (repo / name).unlink()
    return file


@pytest.mark.parametrize(
    ("change", "code"),
    [(("days=3", "days=3"), 0),
     (("dtype=Int64", "dtype=Float32"), 1)],
    ids=["nothing", "a type"],
)  # fmt: skip
def test_a_snapshot_is_checked_against_as_the_registry_is(
    repo: Path, unreached: Path, check: Any, change: tuple[str, str], code: int
) -> None:
    edit(repo, change)
    done = check("--offline", str(unreached), "--format", "json")

    assert done.returncode == code, done.stdout + done.stderr
    plan = json.loads(done.stdout)
    assert any("those of the snapshot of" in note for note in plan["notes"])
    assert not (repo / "registry.db").exists()
    assert not (repo / "mlflow.db").exists()
    assert unreached.stat().st_mode & 0o777 == 0o600
    models = {m["name"] for c in plan["changes"] for m in c["models"]}
    assert bool(models) == bool(code)


def test_what_is_no_snapshot_of_the_project_is_one_line(
    repo: Path, unreached: Path, check: Any, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.zip"
    cut.write_bytes(unreached.read_bytes()[:-200])
    missing = tmp_path / "missing.zip"
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(unreached) as kept, zipfile.ZipFile(other, "w") as made:
        for name in kept.namelist():
            made.writestr(name, kept.read(name).replace(b'"project": "', b'"project": "un'))
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(unreached) as kept, zipfile.ZipFile(broken, "w") as made:
        for name in kept.namelist():
            made.writestr(name, b"x" * 5000 if name.endswith("sqlite") else kept.read(name))
    for file, said in (
        (cut, "is no snapshot of feast_nb's"),
        (missing, f"no snapshot at {missing}; write one: feast-nb snapshot --into {missing}"),
        (other, "is a snapshot of un"),
        (broken, "cannot be read: its history was broken"),
    ):
        done = check("--offline", str(file))
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_snapshot_of_a_server_that_is_away_is_not_written(repo: Path, tmp_path: Path) -> None:
    file = tmp_path / "none.zip"
    assert snapshot(repo, file).returncode == 0
    file.unlink()
    (repo / "mlflow.db").rename(repo / "away.db")

    done = snapshot(repo, file)

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.glob("*none.zip*")) == []
    assert not (repo / "mlflow.db").exists()


def test_what_cannot_be_checked_is_neither_passed_nor_refused(repo: Path, check: Any) -> None:
    edit(repo, ("days=3", "days=1"))
    yaml = repo / "feature_store.yaml"
    yaml.write_text(yaml.read_text().replace("sqlite:///mlflow.db", "http://127.0.0.1:9"))
    away = check()
    assert away.returncode == 2
    assert "not checked: which models it breaks" in away.stdout

    (repo / "features.py").write_text("x = (")
    broken = check()
    assert broken.returncode == 2
    assert broken.stderr.startswith("feast_nb: RepositoryError: the definitions do not parse")
    assert len(broken.stderr.splitlines()) == 1


def test_a_tracking_database_that_went_away_is_not_an_empty_one(repo: Path, check: Any) -> None:
    assert check().returncode == 0
    (repo / "mlflow.db").rename(repo / "elsewhere.db")

    gone = check()
    assert gone.returncode == 2
    assert "which models it breaks: the tracking database" in gone.stdout


def test_a_repository_that_was_never_applied_gets_no_registry(repo: Path, check: Any) -> None:
    (repo / "registry.db").unlink()
    passed = check()

    assert passed.returncode == 0
    assert "create view=hourly" in passed.stdout
    assert not (repo / "registry.db").exists()


def test_against_a_revision(repo: Path, check: Any) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "-C", str(repo), *who, *words], check=True, capture_output=True)

    git("init", "-q")
    git("add", "features.py", "feature_store.yaml")
    git("commit", "-qm", "one")
    assert check("--against", "HEAD").returncode == 0
    edit(
        repo,
        (ACC, ""),
        ('unused = FeatureService(name="unused", features=[hourly[["acc_rate"]]])', ""),
    )
    refused = check("--against", "HEAD")

    assert refused.returncode == 1
    assert "delete service=unused" in refused.stdout
    assert "against HEAD" in refused.stdout
    with pytest.raises(UsageError, match="git knows no such revision"):
        planned(repo, against="nosuch")
    with pytest.raises(UsageError, match="git knows no such revision"):
        planned(repo, against="--output=here")


def test_against_a_revision_paths_of_the_files_own_place_are_no_change(
    repo: Path, check: Any
) -> None:
    text = (repo / "features.py").read_text()
    here = "import os\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
    place = text.split('path="')[1].split('"')[0]
    (repo / "features.py").write_text(here + text.replace(f'"{place}"', 'HERE + "/s.parquet"'))
    stats().assign(rating=1).to_parquet(repo / "s.parquet")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "-C", str(repo), *who, *words], check=True, capture_output=True)

    same = check("--against", "HEAD", "--fail-on", "any")
    assert same.returncode == 0, same.stdout
    new = repo / "new"
    new.mkdir()
    for name in ("features.py", "feature_store.yaml"):
        shutil.copy(repo / name, new / name)
    added = check("--repo", "new", "--against", "HEAD")
    assert "create view=hourly" in added.stdout, added.stderr


def test_the_actions_own_steps_refuse_a_pull_request(repo: Path) -> None:
    """What `action.yml` runs, as a shell runs it."""
    import os

    import yaml

    action = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())
    *_, check = action["runs"]["steps"]
    given = {name: one["default"] for name, one in action["inputs"].items()}
    given |= {"repo": str(repo), "python": sys.executable}
    variables = {
        name: given[text.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, text in check["env"].items()
    }
    edit(repo, ("dtype=Int64", "dtype=Float32"))
    done = subprocess.run(
        ["bash", "-c", check["run"]], capture_output=True, text=True, cwd=repo.parent,
        env={**os.environ, **variables},
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stdout.startswith("::error file=repo/features.py,line=")


def test_the_command_imports_neither_ipython_nor_jupyter() -> None:
    code = (
        "import sys; from feast_nb import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'IPython', 'jupyter_server', 'feast', 'mlflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "check" in done.stdout
