"""`%feast`: where one is, which magic does what, and the line to write next."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from ..errors import RepositoryError, nearest
from ..frames import is_pandas
from .options import reads_options

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..records.overview import Guide, MagicEntry
    from ..records.run import Repository
    from ..session import Session
    from .repository import RepositoryInUse

# Task → its magics, each with other words that people ask with.
TASKS: Mapping[str, Mapping[str, str]] = {
    "Train": {
        "feast_store": "repository project begin",
        "feast_train": "fit training register features",
        "feast_run": "track mlflow run",
        "feast_log": "model register afterwards",
    },
    "Inspect": {
        "feast_runs": "history recorded recent",
        "feast_features": "order inputs columns dtypes",
        "feast_lineage": "graph origin where from",
        "feast_usage": "unused popular who uses",
        "feast_diff": "compare versions difference",
    },
    "Serve": {
        "feast_resolve": "promote alias drift serving",
        "feast_score": "predict prediction online inference",
    },
    "Change": {
        "feast_impact": "break breaks breaking depends downstream delete",
        "feast_plan": "diff definitions gate review pull request",
        "feast_apply": "register definitions deploy change registry",
    },
    "Operate": {
        "feast_materialize": "load online store backfill incremental fill",
        "feast_health": "fresh freshness stale skew redis latency monitor status ok",
    },
    "Audit": {
        "feast_reproduce": "rebuild same prove verify again",
        "feast_ops": "apply materialize who operations",
    },
}

_OF_CELLS = ("feast_train",)


@magics_class
class GuideMagics(Magics):
    """`%feast`."""

    def __init__(self, shell: InteractiveShell, magics: RepositoryInUse, *others: Magics) -> None:
        super().__init__(shell)
        self._magics = magics
        self._all = (magics, *others)

    @magic_arguments()
    @argument(
        "words", nargs="*", metavar="WORD", help="what you want to do: rebuild, serve, compare"
    )
    @line_magic
    @reads_options
    def feast(self, options: Namespace) -> Guide:
        """Where you are, the magics by task, and the line to write next.

        With WORDs: the magics that answer them.

        Examples
        --------
        ::

            %feast
            %feast rebuild
        """
        from ..records.overview import Guide

        entries = tuple(self._entries())
        if options.words:
            asked = " ".join(options.words)
            found = self._answering(options.words, entries)
            why = None if found else self._nothing(asked)
            return Guide(found, asked=asked, why=why)
        session = self._open_session()
        if session is None:
            return self._unopened(entries)
        repository = session.repository
        line, why = self._next(session, repository)
        return Guide(
            entries,
            project=repository.project,
            path=repository.path,
            tracking_uri=repository.tracking_uri,
            run=_run_of(session),
            next=line,
            why=why,
        )

    def _entries(self) -> Iterator[MagicEntry]:
        from ..records.overview import MagicEntry

        for task, magics in TASKS.items():
            for name in magics:
                sign = "%%" if name in _OF_CELLS else "%"
                yield MagicEntry(name, task, _first_sentence(self._method(name)), sign)

    def _method(self, name: str) -> Callable[..., object]:
        found: Callable[..., object]
        found = next(getattr(of, name) for of in self._all if hasattr(of, name))
        return found

    def _open_session(self) -> Session | None:
        """The one in use, or that of a store which the notebook has; nothing is opened for it."""
        if self._magics.known_session is None and self._magics.bound_store() is None:
            return None
        found: Session = self._magics.session()
        return found

    # ------------------------------------------------------------------ words

    def _answering(
        self, words: list[str], entries: tuple[MagicEntry, ...]
    ) -> tuple[MagicEntry, ...]:
        """The magics whose name, help or words hold most of what was asked, the best first."""
        asked = [word.lower().strip("?%.,") for word in words]
        scores = {entry: self._score(entry, asked) for entry in entries}
        best = max(scores.values(), default=0)
        return tuple(e for e, score in scores.items() if best and score == best)

    def _score(self, entry: MagicEntry, asked: list[str]) -> int:
        """Own words count more than those of the help."""
        own = f"{entry.name} {TASKS[entry.task][entry.name]} {entry.task}".lower().split()
        manual = (self._method(entry.name).__doc__ or "").lower()
        return sum(3 * any(_stem(w) == _stem(o) for o in own) + (w in manual) for w in asked)

    def _nothing(self, asked: str) -> str:
        known = {w for magics in TASKS.values() for text in magics.values() for w in text.split()}
        hint = nearest(asked.split()[0], sorted(known)) or ""
        return f"no magic matches {asked}; {hint or '%feast lists all.'}"

    # ------------------------------------------------------------------ what next

    def _unopened(self, entries: tuple[MagicEntry, ...]) -> Guide:
        from ..integrations.feast import store
        from ..records.overview import Guide

        try:
            yaml = store.find(Path.cwd())
        except RepositoryError:
            why = "no feature_store.yaml in this folder or above it."
            return Guide(entries, next="!feast init my_project", why=why)
        why = "there is a repository here; open it."
        return Guide(entries, path=str(yaml.parent), next="store = %feast_store", why=why)

    def _next(self, session: Session, repository: Repository) -> tuple[str, str]:
        if not repository.mlflow.get("enabled"):
            line = 'mlflow: {enabled: true, tracking_uri: "sqlite:///mlflow.db"}'
            return line, "MLflow is off: add this line to feature_store.yaml and open it again."
        if not repository.views:
            return "!feast apply", "nothing is applied in this repository yet."
        frame = self._frame() or "entity_df"
        if name := session.names.registered_last:
            aliases = session.names.models[name]
            model = f"{name}@{aliases[0]}" if aliases else name
            return f"%feast_score {model} --entities {frame}", "the model registered last."
        service = next(iter(repository.services), None)
        view, features = next(iter(repository.views.items()))
        what = f"--service {service}" if service else f"--features {view}:{features[0]}"
        return (
            f"%%feast_train v1 {what} --entity-df {frame}",
            "features are applied: train a model on them.",
        )

    def _frame(self) -> str | None:
        """A frame of the notebook that has moments, as an entity frame does."""
        assert self.shell is not None
        for name, value in list(self.shell.user_ns.items()):
            if name[:1] != "_" and is_pandas(value) and "event_timestamp" in value.columns:
                return str(name)
        return None


def _run_of(session: Session) -> str:
    if session.runs.innermost is not None:
        record = session.runs.innermost.record
        return f"run {record.name} is open."
    if session.runs.last is not None:
        last = session.runs.last
        return f"no run is open; the last was {session.runs.last_name} ({last.id[:8]})."
    return "no run is open."


def _first_sentence(magic: Any) -> str:
    """Of a magic's own docstring, which IPython keeps beside the manual."""
    text = " ".join(str(magic.parser.description or magic.__doc__ or "").split())
    return text.partition(". ")[0].rstrip(".").replace("`", "") + "."


def _stem(word: str) -> str:
    """A word without what grammar adds: serving and serve ask the same."""
    if word.endswith(("ied", "ies")):
        return word[:-3] + "y"
    for end in ("ing", "ed", "es", "s", "e"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word.removesuffix(end)
    return word
