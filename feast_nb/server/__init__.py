"""The side panel's door: what the Jupyter server answers under `feast-nb/api/`.

Enabled by installing the package. The server process imports neither Feast nor MLflow: a worker
process of its own reads for it (`feast_nb.server.worker`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Add the routes; called by the Jupyter server when it starts."""
    from .routes import add
    from .settings import settings_of

    add(app.web_app, settings_of(app), app.log)
    app.log.info("feast_nb: the side panel's routes are under feast-nb/api/.")
