"""The notebook's door: what `%load_ext` and `%unload_ext` do."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..patching.interrupts import guarded

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

_MAGICS = {
    "line": (
        "feast",
        "feast_store",
        "feast_run",
        "feast_train",
        "feast_log",
        "feast_features",
        "feast_resolve",
        "feast_diff",
        "feast_reproduce",
        "feast_score",
        "feast_usage",
        "feast_lineage",
        "feast_impact",
        "feast_plan",
        "feast_apply",
        "feast_materialize",
        "feast_health",
        "feast_runs",
        "feast_ops",
    ),
    "cell": ("feast_run", "feast_train"),
}
_loaded: ExtensionState | None = None


def _with_a_body(lines: list[str]) -> list[str]:
    """A cell of ours with nothing below its first line reaches its magic, for `--help` say.

    IPython refuses it before: "the cell body is empty".
    """
    alone = [line for line in lines if line.strip()]
    if len(alone) == 1 and alone[0].startswith(("%%feast_train", "%%feast_run")):
        return [alone[0].rstrip("\n") + "\n", "\n"]
    return lines


def load(shell: InteractiveShell) -> None:
    """Register the magics, completion and displays, and start recording. Twice changes nothing."""
    global _loaded
    if _loaded is None:
        _loaded = ExtensionState(shell)


def unload(shell: InteractiveShell) -> None:
    """Put back everything that `load` changed."""
    global _loaded
    if _loaded is not None:
        unloading, _loaded = _loaded, None
        unloading.put_back()


class ExtensionState:
    """What loading changed in a shell, so that unloading can put it back."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        with ExitStack() as undo:  # it loads whole, or not at all
            self._load(shell, undo)
            self._undo = undo.pop_all()
        self._tell(None)

    def _load(self, shell: InteractiveShell, undo: ExitStack) -> None:
        from .. import recorder
        from ..operations import store_guard
        from ..session import kernel_file
        from .completion import Completion
        from .formatters import Formatters
        from .guide import GuideMagics
        from .history import HistoryMagics
        from .models import ModelMagics
        from .operations import StoreMagics
        from .training import FeastMagics

        self.recorder = recorder.current(interactive=True)
        undo.callback(self._say)
        undo.callback(recorder.shut)
        store_guard.stand(self.recorder)
        self.magics = FeastMagics(shell)
        registry = shell.magics_manager.magics
        self._before = {(k, n): registry[k].get(n) for k, names in _MAGICS.items() for n in names}
        undo.callback(self._put_magics_back)
        models = ModelMagics(shell, self.magics)
        past = HistoryMagics(shell, self.magics)
        stores = StoreMagics(shell, self.magics)
        guide = GuideMagics(shell, self.magics, models, past, stores)
        shell.register_magics(self.magics, models, past, stores, guide)
        self._published = kernel_file.of_kernel()
        if self._published is not None:
            undo.callback(self._published.remove)
        undo.callback(self.recorder.cells.unwatch)
        self.recorder.cells.watch(shell)
        undo.callback(Formatters(shell).remove)
        undo.callback(Completion(shell, self.magics, models, past, stores).remove)
        shell.input_transformers_cleanup.append(_with_a_body)
        undo.callback(shell.input_transformers_cleanup.remove, _with_a_body)
        self.recorder.changed = self._publish
        shell.events.register("post_run_cell", self._tell)
        undo.callback(shell.events.unregister, "post_run_cell", self._tell)

    def put_back(self) -> None:
        self._undo.close()

    def _put_magics_back(self) -> None:
        for (kind, name), before in self._before.items():
            registry = self._shell.magics_manager.magics[kind]
            if before is None:
                registry.pop(name, None)
            else:
                registry[name] = before

    def _publish(self) -> None:
        """What the side panel cannot know but from here."""
        session = self.magics.known_session
        if self._published is not None and session is not None:
            with guarded("telling the side panel"):
                self._published.tell(session, self.recorder.cells.notebook)

    def _tell(self, result: ExecutionResult | None) -> None:
        """After a cell: what the background had to say, once."""
        if result is not None:
            with guarded("sending what a kernel left that died"):
                self.recorder.after_cell()
        self._publish()
        self._say()

    def _say(self) -> None:
        for notice in self.recorder.notices.take():
            print(f"feast_nb: {notice}", file=sys.stderr)
