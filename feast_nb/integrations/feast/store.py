"""Open a feature repository: find it, read its settings, mend its relative paths."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ...errors import RepositoryError, brief
from .servers import client_limits, store_door

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.mlflow_integration.config import MlflowConfig

TRACKING_URI = "MLFLOW_TRACKING_URI"
YAML_PATH = "FEAST_FS_YAML_FILE_PATH"
YAML = "feature_store.yaml"


def find(start: Path | None = None) -> Path:
    """The repository that is meant where none is named.

    `FEAST_FS_YAML_FILE_PATH`, else the nearest folder with a `feature_store.yaml` from `start`
    upward. Raises `RepositoryError` where there is none.
    """
    if named := os.environ.get(YAML_PATH):
        return Path(named).resolve()
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / YAML).is_file():
            return folder / YAML
    raise RepositoryError(
        f"no {YAML} in {start} or above it; name the repository (%feast_store PATH) or make "
        "one with `feast init`."
    )


def yaml_of(path: str | os.PathLike[str]) -> Path:
    """The `feature_store.yaml` that a path means: the file itself, or the folder it is in."""
    given = Path(path).expanduser()
    inside = given / "feature_repo" / YAML
    candidates = [given] if given.is_file() else [given / YAML, inside]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    if not given.exists():
        raise RepositoryError(f"there is no {given}; name the folder that holds a {YAML}.")
    raise RepositoryError(f"no {YAML} in {given}; name the folder that holds one.")


def folder_of(yaml: Path) -> Path:
    """The folder that a repository's relative paths start from, and that holds its definitions.

    The file's own, but for one that `FEAST_FS_YAML_FILE_PATH` names: Feast takes that from the
    working folder.
    """
    named = os.environ.get(YAML_PATH)
    if named and Path(named).resolve() == Path(yaml).resolve():
        return Path.cwd()
    return yaml.parent


def yaml_of_store(opened: FeatureStore) -> Path:
    """The settings file of a store that the user opened; Feast keeps no path of it."""
    own = Path(opened.repo_path).resolve() / YAML
    named = os.environ.get(YAML_PATH)
    return Path(named).resolve() if named and not own.is_file() else own


def load_feast() -> None:
    """Import Feast, which takes seconds once in each process."""
    import feast  # noqa: F401


def open_store(yaml: Path) -> FeatureStore:
    """The `FeatureStore` of a `feature_store.yaml`.

    Raises `RepositoryError`, with the first line of what Feast says, for a file that Feast cannot
    use and for a registry that cannot be reached.
    """
    from feast import FeatureStore
    from feast.errors import FeastError
    from pydantic import ValidationError

    _check_variables(yaml)
    limit = client_limits.SECONDS.set(store_door.SECONDS)
    try:
        store = FeatureStore(repo_path=str(folder_of(yaml)), fs_yaml_file=yaml)
        mend_paths(store)
        store.registry.list_projects()
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "file"
        raise RepositoryError(f"{yaml}: {where}: {first['msg']}.") from problem
    except (FeastError, OSError, ValueError, TypeError, AttributeError, ImportError) as problem:
        if said := _of_the_registry(yaml, problem):
            raise RepositoryError(f"cannot use {yaml}: {said}") from problem
        raise RepositoryError(f"{yaml}: {_first_line(problem)}") from problem
    except Exception as problem:  # a YAML parser's, a database driver's: said, with its cause kept
        said = _of_the_registry(yaml, problem) or _first_line(problem)
        raise RepositoryError(f"cannot use {yaml}: {said}") from problem
    finally:
        client_limits.SECONDS.reset(limit)
    return store


def _check_variables(yaml: Path) -> None:
    """Raise `RepositoryError` for a `${NAME}` that is not set: Feast would take it as it stands.

    A registry at `${DATA}/registry.db` would be made anew, in a folder of that name.
    """
    try:
        lines = yaml.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return  # what is wrong with it, opening says
    for number, line in enumerate(lines, 1):
        for name in _VARIABLE.findall(_COMMENT.sub("", line)):
            if name not in os.environ:
                raise RepositoryError(
                    f"{yaml}, line {number}: ${{{name}}} is not set in the environment; set it, or "
                    "write what it stands for."
                )


_VARIABLE, _COMMENT = re.compile(r"\$\{(\w+)\}"), re.compile(r"(^|\s)#.*")


def _of_the_registry(yaml: Path, problem: Exception) -> str | None:
    """What a client of the registry says is wrong with it; None for another error."""
    from feast.repo_config import load_repo_config

    try:
        config = load_repo_config(folder_of(yaml), yaml)
    except Exception:  # then that is what is wrong, and it is said
        return None
    store: Any = SimpleNamespace(config=config, registry=None)
    return store_door.fault(store, "registry", problem)


def is_applied(yaml: Path) -> bool:
    """Whether a registry that is a file here is there: Feast makes one on opening."""
    from feast.repo_config import load_repo_config
    from pydantic import ValidationError

    _check_variables(yaml)
    try:
        config = load_repo_config(folder_of(yaml), yaml)
    except (ValidationError, ValueError, OSError, TypeError, AttributeError, ImportError):
        return True  # what is wrong with it, opening says
    except Exception as problem:  # a YAML parser's
        raise RepositoryError(f"cannot use {yaml}: {_first_line(problem)}") from problem
    path = str(getattr(config.registry, "path", "") or "")
    kind = str(getattr(config.registry, "registry_type", "file"))
    return kind != "file" or not path or "://" in path or (folder_of(yaml) / path).exists()


def project_of(yaml: Path) -> str:
    """The project that a `feature_store.yaml` names."""
    from feast.repo_config import load_repo_config

    return str(load_repo_config(folder_of(yaml), yaml).project)


def _first_line(problem: BaseException) -> str:
    return brief(problem, 300) or type(problem).__name__


def mend_paths(store: FeatureStore) -> None:
    """Make a relative SQLite tracking URI mean a file beside `feature_store.yaml`.

    Feast leaves it to MLflow, which takes it from the working folder: one database for each
    folder that a notebook is in. Where the file says nothing of MLflow, the environment may.
    """
    _take_from_environment(store)
    settings = getattr(store.config, "mlflow", None)
    uri = getattr(settings, "tracking_uri", None)
    if settings is None or not uri or not settings.enabled:
        return
    base = Path(store.config.repo_path or store.repo_path or Path.cwd()).resolve()
    if (file := sqlite_file(uri)) is not None and not file.is_absolute():
        (base / file).parent.mkdir(parents=True, exist_ok=True)
        settings.tracking_uri = anchored(uri, base)


_by_environment: WeakSet[FeatureStore] = WeakSet()


def _take_from_environment(store: FeatureStore) -> None:
    """Turn MLflow on where only `MLFLOW_TRACKING_URI` names it: an operator's file may not."""
    config = store.config
    if not os.environ.get(TRACKING_URI) or getattr(config, "mlflow_config", 0) is not None:
        return
    from feast.mlflow_integration.config import MlflowConfig

    config.mlflow_config = MlflowConfig(enabled=True)
    _by_environment.add(store)


def is_by_environment(store: FeatureStore) -> bool:
    """Whether only the environment says that MLflow is used."""
    return store in _by_environment


def anchored(uri: str, base: Path) -> str:
    """A SQLite URI whose relative file is one from a folder on; another as it is."""
    file = sqlite_file(uri)
    if file is None or file.is_absolute():
        return uri
    scheme, _, rest = uri.partition(":///")
    _, mark, query = rest.partition("?")
    return f"{scheme}:///{base / file}{mark}{query}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite tracking URI, relative where the URI is."""
    scheme, _, rest = uri.partition(":///")
    if scheme.partition("+")[0] != "sqlite" or not rest or rest == ":memory:":
        return None
    return Path(rest.partition("?")[0])


def settings_of(store: FeatureStore) -> MlflowConfig | None:
    """The `mlflow:` block of the store's settings, or None where it is absent or not enabled."""
    settings = getattr(store.config, "mlflow", None)
    return settings if settings is not None and settings.enabled else None
