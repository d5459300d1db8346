"""Completion for the magics: their options and the names of live objects, from memory only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..integrations.model_libraries.flavors import FLAVORS
from ..session.known_names import KnownNames

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.magic import Magics

    from .repository import RepositoryInUse

_MAGIC = re.compile(r"^\s*(?:\w+\s*=\s*)?%{1,2}(feast_\w+)\s+(.*)$", re.DOTALL)
_OF_OBJECTS = ("feast_usage", "feast_lineage", "feast_impact")
_OF_MODELS = ("feast_features", "feast_resolve", "feast_diff", "feast_reproduce", "feast_score")
_OF_VIEWS = ("feast_materialize", "feast_health")
_REGISTERED = ("feast_runs", "feast_health")  # where --model names a registered one


class Completion:
    """Our matcher in a shell's completer, until `remove`."""

    def __init__(self, shell: InteractiveShell, magics: RepositoryInUse, *others: Magics) -> None:
        from IPython.core.completer import context_matcher

        self._shell = shell
        self._magics = magics
        self._all = (magics, *others)

        @context_matcher(identifier="feast_nb")
        def matcher(context: CompletionContext) -> SimpleMatcherResult:
            return self._match(context)

        self._matcher = matcher
        shell.Completer.custom_matchers.append(self._matcher)

    def remove(self) -> None:
        matchers = self._shell.Completer.custom_matchers
        if self._matcher in matchers:
            matchers.remove(self._matcher)

    def _match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Options after `--`, else values of the option before the cursor."""
        from IPython.core.completer import SimpleCompletion

        lines = context.full_text.split("\n")
        line = lines[context.cursor_line][: context.cursor_position]
        found = _MAGIC.match(line)
        magic = next((m for of in self._all if found and (m := getattr(of, found[1], None))), None)
        if magic is None:
            return {"completions": [], "suppress": False}
        words = found.group(2).split(" ") if found else [""]
        fragment = words[-1]
        offered = [n for n in self._offered(magic, words) if n.startswith(fragment)]
        return {
            "completions": [SimpleCompletion(text=n, type="feast_nb") for n in offered],
            "matched_fragment": fragment,
            "suppress": True,
        }

    def _offered(self, magic: Callable[..., object], words: list[str]) -> list[str]:
        from .options import options_of

        fragment = words[-1]
        if fragment.startswith("-"):
            return [*options_of(magic), "--help"]
        option = next((w for w in reversed(words[:-1]) if w.startswith("--")), None)
        directly = words[-2] if len(words) > 1 else None
        if option and (option in ("--features", "--from") or directly == option):
            return sorted(self._values(option, magic.__name__))
        if magic.__name__ in _OF_MODELS and not any(w.startswith("--") for w in words[:-1]):
            runs = self._runs() if magic.__name__ == "feast_reproduce" else []
            return [*self._registered(), *runs]
        if magic.__name__ in _OF_OBJECTS and not any(w.startswith("--") for w in words[:-1]):
            return self._objects(magic.__name__)
        if magic.__name__ in _OF_VIEWS:
            return [name for name in self._objects(magic.__name__) if name in self._views()]
        if magic.__name__ == "feast_log" and len([w for w in words[:-1] if w]) == 0:
            return self._models()
        return []

    def _values(self, option: str | None, magic: str) -> Iterable[str]:
        session = self._magics.known_session
        known = session.names if session else KnownNames()
        registered = known.models
        if option == "--service":
            return known.services
        if option == "--features":
            return known.refs
        if option in ("--entity-df", "--from", "--into", "--entities"):
            return self._frames()
        if option == "--model":  # of a past run, or the one in a variable
            return self._registered() if magic in _REGISTERED else self._models()
        if option == "--runs":
            return ("all", "latest", "collapsed")
        if option == "--register":
            return registered
        if option == "--alias":
            return {a for aliases in registered.values() for a in aliases}
        if option in ("--resume", "--run", "--forget"):
            return known.runs
        if option == "--flavor":
            return FLAVORS
        return ("FINISHED", "FAILED", "KILLED") if option == "--status" else ()

    def _registered(self) -> list[str]:
        session = self._magics.known_session
        registered = session.names.models if session else {}
        return sorted(
            [*registered, *(f"{name}@{a}" for name, of in registered.items() for a in of)]
        )

    def _runs(self) -> list[str]:
        """The newest runs by name, as the local history has them."""
        session = self._magics.known_session
        return list(dict.fromkeys(session.names.runs.values())) if session else []

    def _objects(self, magic: str) -> list[str]:
        """What the registry holds, as last read; a graph also starts from a model."""
        session = self._magics.known_session
        known = session.names if session else KnownNames()
        views = dict.fromkeys(ref.partition(":")[0] for ref in known.refs)
        models = self._registered() if magic == "feast_lineage" else []
        return [*views, *known.services, *known.refs, *models]

    def _views(self) -> set[str]:
        session = self._magics.known_session
        return {ref.partition(":")[0] for ref in session.names.refs} if session else set()

    def _frames(self) -> list[str]:
        from .. import frames

        space = self._shell.user_ns
        return [k for k, v in space.items() if k[:1] != "_" and frames.is_pandas(v)]

    def _models(self) -> list[str]:
        from ..integrations.model_libraries.flavors import flavor_of

        space = self._shell.user_ns
        return sorted(k for k, v in space.items() if k[:1] != "_" and flavor_of(v) is not None)
