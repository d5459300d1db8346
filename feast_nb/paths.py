"""Where things are kept: the user's cache and state folders, and Jupyter's runtime folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where copies are kept that can be read again: `FEAST_NB_CACHE`, else the user's cache."""
    import platformdirs

    return Path(os.environ.get("FEAST_NB_CACHE", platformdirs.user_cache_dir("feast-nb")))


def state_folder() -> Path:
    """Where records wait until MLflow has them: `FEAST_NB_STATE`, else the user's state folder."""
    import platformdirs

    return Path(os.environ.get("FEAST_NB_STATE", platformdirs.user_state_dir("feast-nb")))


def runtime_folder() -> Path:
    """Jupyter's runtime folder, where kernels and servers find each other."""
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir())
