"""A process that reads the definition files of repositories, each in a fork of its own.

Reading runs the user's code: in another process a second look sees the edited file, and what that
code prints or leaves behind is not ours. The answer is a line of JSON and the registry that the
files describe, as Feast's proto. It ends with its input, and when nobody asked for long.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from feast_nb.errors import brief

if TYPE_CHECKING:

    class FilesQuestion(TypedDict):
        """What is to be read or applied (all, or `only` some), and where what is printed goes."""

        yaml: str
        repo: str
        folder: str
        apply: bool
        only: list[str]
        answer: str
        printed: str
        environment: dict[str, str]

    class Said(TypedDict, total=False):
        """Of what was read: what Feast objects to; or the error, and the line that it came from."""

        trouble: str | None
        inferred: bool
        error: str
        file: str | None
        line: int | None

    from feast import FeatureStore
    from feast.repo_config import RepoConfig
    from feast.repo_contents import RepoContents

IDLE = 600.0  # seconds


def parsed(yaml: Path, repo: Path, folder: Path, scratch: Path) -> tuple[bytes, Said]:
    """The registry that a folder's files describe, and why its types could not be inferred."""
    store, contents = _opened(yaml, repo, folder, scratch)
    trouble, inferred = None, False
    for skip in (False, True):  # without Feast's own objections, where it has some
        try:
            store.plan(contents, skip_feature_view_validation=skip)
            inferred = True
            break
        except Exception as problem:  # a driver's, an object store's: said by who shows the plan
            trouble = trouble or f"{type(problem).__name__}: {brief(problem, 300)}"
    proto = contents.to_registry_proto()
    for _, items in proto.ListFields():
        for item in items if hasattr(items, "__iter__") else ():
            spec = getattr(item, "spec", item)
            if hasattr(spec, "project"):
                spec.project = store.project
    return proto.SerializeToString(deterministic=True), {
        "trouble": trouble,
        "inferred": inferred,
    }


def applied(
    yaml: Path, repo: Path, folder: Path, only: Collection[str], told: Callable[[str], None]
) -> tuple[bytes, Said]:
    """Apply a folder's files, as `feast apply` does; what Feast says where it cannot."""
    # As above: no public function applies a folder of definitions.
    from feast.repo_operations import apply_total_with_repo_instance

    store, contents = _opened(yaml, repo, folder, None)
    if store.config.mlflow is not None:
        store.config.mlflow.log_operations = False  # who asked for it logs it, with the plan
    _tell_of(store.registry, told)
    try:
        if only:
            store.plan(contents, skip_feature_view_validation=True)  # infers what others need
            store.apply(_meant(contents, only))
        else:
            apply_total_with_repo_instance(
                store, store.project, store.registry, contents, skip_source_validation=False
            )
    except Exception as problem:  # of a registry, a database, an online store
        return b"", {"trouble": f"{type(problem).__name__}: {brief(problem, 300)}"}
    return b"", {"trouble": None}


_GIVEN = {"entity": "entity", "feature_view": "view", "feature_service": "service",
          "data_source": "source"}  # fmt: skip


def _meant(contents: RepoContents, only: Collection[str]) -> list[Any]:
    """The objects of the files that have these names: `view=hourly`."""
    by_kind: dict[str, Sequence[Any]] = {
        "view": [*contents.feature_views, *contents.on_demand_feature_views,
                 *contents.stream_feature_views, *contents.label_views],
        "service": contents.feature_services,
        "entity": contents.entities,
    }  # fmt: skip
    return [one for kind, every in by_kind.items() for one in every if f"{kind}={one.name}" in only]


def _tell_of(registry: Any, told: Callable[[str], None]) -> None:
    """Say of each object that the registry is given, or that it lets go: `view=hourly`."""

    def wrap(original: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def given(one: Any, *args: Any, **kwargs: Any) -> Any:
            done = original(one, *args, **kwargs)
            with suppress(OSError):  # whoever asked is gone: what was begun is done all the same
                told(f"{kind}={getattr(one, 'name', one)}")
            return done

        return given

    for name, kind in _GIVEN.items():
        for method in (f"apply_{name}", f"delete_{name}"):
            setattr(registry, method, wrap(getattr(registry, method), kind))


def _opened(
    yaml: Path, repo: Path, folder: Path, scratch: Path | None
) -> tuple[FeatureStore, RepoContents]:
    """The store, and what the files of a folder define."""
    from feast import FeatureStore
    from feast.repo_config import load_repo_config

    # The one private function of Feast's here: no public one reads a folder of definitions.
    from feast.repo_operations import _get_repo_contents

    config = load_repo_config(repo, yaml)
    if scratch is not None:
        _keep_registry(config, repo, scratch)
    store = FeatureStore(config=config, repo_path=str(repo))
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    return store, _get_repo_contents(folder, config.project, config)


def _keep_registry(config: RepoConfig, repo: Path, scratch: Path) -> None:
    """A registry that is a file is read from a copy: opening it would write one."""
    registry = config.registry
    path = str(getattr(registry, "path", "") or "")
    if getattr(registry, "registry_type", "file") != "file" or "://" in path:
        return
    copy = scratch / "registry.db"
    if (repo / path).is_file():
        shutil.copy(repo / path, copy)
    registry.path = str(copy)


def _fault(problem: BaseException, folder: Path) -> Said:
    """What is wrong with the definitions, and the line of theirs that it came from."""
    file, line = None, None
    if isinstance(problem, SyntaxError):
        file, line = problem.filename, problem.lineno
    for frame in traceback.extract_tb(problem.__traceback__):
        if Path(frame.filename).is_relative_to(folder) and "site-packages" not in frame.filename:
            file, line = frame.filename, frame.lineno
    said = brief(problem, 300)
    if isinstance(problem, SystemExit):  # Feast's own way to refuse: it has printed why
        said = "Feast refuses the files, see what it printed"
    return {"error": f"{type(problem).__name__}: {said}", "file": file, "line": line}


def answer(asked: FilesQuestion, told: Callable[[str], None]) -> None:
    """Read one folder, in a process of its own: what its files print goes to `printed`."""
    folder, place = Path(asked["folder"]).resolve(), Path(asked["answer"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    warnings.simplefilter("ignore")
    printed = os.open(asked["printed"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    proto: bytes = b""
    said: Said = {}
    with tempfile.TemporaryDirectory(prefix="feast_nb") as scratch:
        try:
            yaml, repo = Path(asked["yaml"]), Path(asked["repo"])
            if asked["apply"]:
                proto, said = applied(yaml, repo, folder, asked["only"], told)
            else:
                proto, said = parsed(yaml, repo, folder, Path(scratch))
        except BaseException as problem:
            said = _fault(problem, folder)
    sys.stdout.flush()
    place.write_bytes(json.dumps(said).encode() + b"\n" + proto)


def main() -> None:
    """Answer lines of JSON, each in a fork: Feast is imported once, the user's files each time."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import feast.repo_operations  # noqa: F401

    while select.select([sys.stdin], [], [], IDLE)[0] and (line := sys.stdin.readline()):
        if (child := os.fork()) == 0:
            try:
                answer(json.loads(line), lambda name: print(name, file=answers, flush=True))
            finally:
                os._exit(0)  # threads that the files began are nobody's
        os.waitpid(child, 0)
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
