"""What an administrator may set for the routes, in the Jupyter server's own configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traitlets import Float, List, Unicode
from traitlets.config import Configurable

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


class FeastNb(Configurable):
    """`c.FeastNb.folders = ["/srv/features"]`, say."""

    folders = List(Unicode(), help="Further folders with feature repositories.").tag(config=True)
    limit = Float(
        30.0,
        help="Seconds that a request waits for an answer (202 after it), and that the worker may "
        "be without a sign of life.",
    ).tag(config=True)
    idle = Float(600.0, help="Seconds after which an idle worker process ends.").tag(config=True)


@dataclass(frozen=True)
class Settings:
    """`folders` hold repositories beside those under `root`; times are in seconds."""

    root: Path
    folders: tuple[Path, ...] = ()
    limit: float = 30.0
    idle: float = 600.0


def settings_of(app: ServerApp) -> Settings:
    """Those of a Jupyter server: its root, and `c.FeastNb` of its configuration file."""
    found = FeastNb(parent=app)
    folders = tuple(Path(folder).expanduser().resolve() for folder in found.folders)
    root = getattr(app.contents_manager, "root_dir", "") or app.root_dir
    return Settings(Path(root).expanduser().resolve(), folders, found.limit, found.idle)
