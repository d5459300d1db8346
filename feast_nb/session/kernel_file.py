"""What only the kernel knows, for the side panel: a file in Jupyter's runtime folder."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..integrations.feast.store import anchored, settings_of
from ..masking import public_uri
from ..notebook.identity import UNKNOWN
from ..paths import runtime_folder
from ..records.messages import KernelState, OpenedRun

if TYPE_CHECKING:
    from .session import Session


class KernelFile:
    """The kernel's repository, tracking server and open run, as others may read them.

    No secrets: an address that holds one is left out.
    """

    def __init__(self, kernel: str) -> None:
        self._kernel = kernel
        self._path = runtime_folder() / f"feast-nb-{kernel}.json"
        self._told: KernelState | None = None

    def tell(self, session: Session, notebook: str | None) -> None:
        """Write the file, where something of it changed."""
        now = KernelState(
            kernel=self._kernel,
            pid=os.getpid(),
            repository=str(session.yaml),
            notebook=os.path.abspath(notebook) if notebook not in (None, UNKNOWN) else None,
            tracking_uri=_address(session),
            run=_run(session),
        )
        if now == self._told:
            return
        self._told = now
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._path.with_suffix(".part")
        text = json.dumps(replace(now, at=time.time()).to_dict())
        part.write_text(text, encoding="utf-8")
        part.chmod(0o600)
        part.replace(self._path)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def of_kernel() -> KernelFile | None:
    """The one of this kernel; None in a terminal or a script, which no panel looks at."""
    if "ipykernel" not in sys.modules:
        return None
    from ipykernel.connect import get_connection_file

    try:
        name = Path(get_connection_file()).stem
    except (RuntimeError, OSError):  # no kernel runs here, or an engine, which has no such file
        return None
    return KernelFile(name.removeprefix("kernel-"))


def _address(session: Session) -> str | None:
    """The tracking server as it is known without MLflow: this runs after a cell, on its time."""
    settings = settings_of(session.store)
    if settings is None:
        return None
    uri: str | None = settings.get_tracking_uri()
    # Another thread may be at importing it: then it has no such function yet.
    default = getattr(sys.modules.get("mlflow"), "get_tracking_uri", None)
    if uri is None and default is not None:
        uri = default()
    if not uri or public_uri(uri) != uri:
        return None
    return anchored(uri, Path.cwd())  # others work in other folders


def _run(session: Session) -> OpenedRun | None:
    opened = session.runs.innermost
    if opened is None:
        return None
    return OpenedRun(opened.record.id, opened.record.name, opened.record.url)
