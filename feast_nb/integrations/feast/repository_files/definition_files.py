"""What the definition files of a repository describe, and the line of each definition."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import RepositoryError, UsageError, brief
from ....masking import masked_text
from ..store import folder_of

if TYPE_CHECKING:
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    from .definition_parser import FilesQuestion, Said

SECONDS = 120.0  # that reading the files may take
_DECORATORS = ("on_demand_feature_view", "batch_feature_view", "stream_feature_view")
_LEFT_OUT = {".git", "node_modules", "__pycache__", "site-packages"}


@dataclass(frozen=True)
class DefinitionFiles:
    """A registry as files describe it: Feast's proto, and name → (file, line) of definitions.

    `trouble` says why Feast itself cannot plan it; where what the files leave to be inferred (keys,
    types) is not known (`inferred`), it cannot be compared. `digest` changes with any file.
    """

    proto: RegistryProto
    places: dict[str, tuple[str, int]] = field(default_factory=dict)
    trouble: str | None = None
    digest: str = ""
    inferred: bool = True


def read(yaml: Path, folder: Path | None = None) -> DefinitionFiles:
    """The files of a repository, or of another folder for the same repository.

    Raises `RepositoryError` with file and line for files that do not parse.
    """
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    place = folder or folder_of(yaml)
    said, body = _answer(yaml, place, apply=False)
    proto = RegistryProto()
    proto.ParseFromString(body)
    return DefinitionFiles(
        proto, places(place), said["trouble"], digest(place), inferred=said["inferred"]
    )


def apply(
    yaml: Path, only: Sequence[str] = (), told: Callable[[str], None] = lambda name: None
) -> str | None:
    """Apply a repository's files as `feast apply` does; why that failed, or None.

    `only` names objects that are applied and no others (`hourly`, `service=activity`); `told` hears
    of each that the registry was given: `view=hourly`. Raises `RepositoryError` as `read` does.
    """
    said, _ = _answer(yaml, folder_of(yaml), only, told, apply=True)
    return masked_text(said["trouble"]) if said["trouble"] else None


def digest(folder: Path) -> str:
    """What changes with the text of any definition file."""
    found = hashlib.blake2b(digest_size=8)
    for path in _files(folder):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _answer(
    yaml: Path,
    place: Path,
    only: Sequence[str] = (),
    told: Callable[[str], None] = lambda name: None,
    *,
    apply: bool,
) -> tuple[Said, bytes]:
    with tempfile.TemporaryDirectory(prefix="feast_nb") as scratch:
        answer, printed = Path(scratch) / "answer", Path(scratch) / "printed"
        _parser.ask({
            "yaml": str(yaml), "repo": str(folder_of(yaml)), "folder": str(place),
            "apply": apply, "only": list(only), "answer": str(answer),
            "printed": str(printed), "environment": dict(os.environ),
        }, told)  # fmt: skip
        last = _last_line(printed)
        if not answer.exists():
            raise RepositoryError(f"the definitions in {place} cannot be read: {last}.")
        head, _, body = answer.read_bytes().partition(b"\n")
    said: Said = json.loads(head)
    if "error" in said:
        where = f" ({_shown(said['file'], place)}, line {said['line']})" if said["file"] else ""
        why = last if "see what it printed" in said["error"] and last else said["error"]
        raise RepositoryError(f"the definitions do not parse{where}: {brief(why, 300)}")
    return said, body


class _Parser:
    """The process that reads; made when it is first asked, and anew where it hung or died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def begin(self) -> subprocess.Popen[str]:
        """Start it, unless it runs: it imports Feast while others do something else."""
        process = self._process
        if process is None or process.poll() is not None or self._owner != os.getpid():
            command = [sys.executable, "-P", "-m", f"{__package__}.definition_parser"]
            pipe = subprocess.PIPE
            process = self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True,
                start_new_session=True,
            )  # fmt: skip
            self._owner = os.getpid()
        return process

    def ask(self, question: FilesQuestion, told: Callable[[str], None]) -> None:
        """Wait until it has answered; raises `RepositoryError` where it takes too long.

        `told` hears what it says on the way.
        """
        process = self.begin()
        assert process.stdin is not None
        assert process.stdout is not None
        limit = None if question["apply"] else SECONDS  # what writes is not ended halfway
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            # What is read is buffered here: only one line comes where it is waited for by `select`.
            while limit is None or select.select([process.stdout], [], [], limit)[0]:
                line = process.stdout.readline().rstrip("\n")
                if line in ("done", ""):
                    return
                told(line)
        except KeyboardInterrupt:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            self._end(process)
            raise
        except BrokenPipeError:
            self._end(process)
            raise RepositoryError("the process that reads definitions ended; ask again.") from None
        self._end(process)
        raise RepositoryError(
            f"the definitions in {question['folder']} were not read within {SECONDS:.0f} s; see "
            "what they do when they are imported."
        )

    def _end(self, process: subprocess.Popen[str]) -> None:
        """It and the fork that reads."""
        self._process = None
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_parser = _Parser()
begin = _parser.begin


def _last_line(printed: Path) -> str:
    """What the files printed last."""
    text = printed.read_text(errors="replace").strip() if printed.exists() else ""
    return brief((text.splitlines() or ["it said nothing"])[-1], 200)


def _shown(file: str, place: Path) -> str:
    path = Path(file)
    return path.relative_to(place).as_posix() if path.is_relative_to(place) else file


def places(folder: Path) -> dict[str, tuple[str, int]]:
    """Where each name is defined, by the syntax tree: `view`, `view:field`, `entity=name`, …"""
    found: dict[str, tuple[str, int]] = {}
    for path in _files(folder):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        for name, line in _defined(tree):
            found.setdefault(name, (path.relative_to(folder).as_posix(), line))
    return found


def _files(folder: Path) -> list[Path]:
    every = sorted(folder.rglob("*.py"))
    return [p for p in every if p.is_file() and _LEFT_OUT.isdisjoint(p.relative_to(folder).parts)]


def _defined(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                called = _called(decorator)
                if called in _DECORATORS:
                    yield node.name, node.lineno
        elif isinstance(node, ast.Call) and (name := _named(node)) is not None:
            kind = _called(node) or ""
            if kind.endswith("View"):
                yield name, node.lineno
                fields = (one for one in ast.walk(node) if isinstance(one, ast.Call))
                for one in fields:
                    if _called(one) == "Field" and (feature := _named(one)) is not None:
                        yield f"{name}:{feature}", one.lineno
            elif kind == "Entity":
                yield f"entity={name}", node.lineno
            elif kind == "FeatureService":
                yield f"service={name}", node.lineno
            elif kind.endswith("Source"):
                yield f"source={name}", node.lineno


def _called(node: ast.AST) -> str | None:
    """The name of what is called: `FeatureView`, `feast.FeatureView`."""
    of = node.func if isinstance(node, ast.Call) else node
    if isinstance(of, ast.Attribute):
        return of.attr
    return of.id if isinstance(of, ast.Name) else None


def _named(call: ast.Call) -> str | None:
    """The `name` that a definition is given, where it is written out."""
    given = [k.value for k in call.keywords if k.arg == "name"] or call.args[:1]
    for value in given:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return None


@contextmanager
def at_revision(repo: Path, revision: str) -> Iterator[Path]:
    """A folder that holds a repository's files as git has them at a revision.

    Raises `UsageError` for a revision that is none.
    """
    asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    commit = _git(repo, asked)
    if commit.returncode:
        raise UsageError(f"--against {revision}: git knows no such revision of {repo}.")
    done = _git(repo, ["archive", "--format=tar", commit.stdout.decode().strip(), "."])
    with tempfile.TemporaryDirectory(prefix="feast_nb") as folder:
        if not done.returncode:  # else the folder was not there yet
            with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
                archive.extractall(folder, filter="data")
        yield Path(folder)


def _git(repo: Path, words: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        command = ["git", "-C", str(repo), *words]
        return subprocess.run(command, capture_output=True, timeout=SECONDS)
    except FileNotFoundError:
        raise UsageError("--against a revision needs git, which is not installed here.") from None
    except subprocess.TimeoutExpired:
        raise RepositoryError(f"git did not answer within {SECONDS:.0f} s in {repo}.") from None
