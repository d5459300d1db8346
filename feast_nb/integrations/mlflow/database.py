"""A tracking store that is a database: looked at before MLflow opens it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def has_current_schema(uri: str) -> bool:
    """Whether a database that is a tracking store has all of MLflow's tables, as this MLflow has.

    MLflow makes what is missing whenever it opens one, and two that do so at once break it: who
    only reads looks first. An address of a server is taken as made.
    """
    if urlsplit(uri).scheme.partition("+")[0] not in _DATABASES:
        return True
    from mlflow.store.db import utils
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    file = uri.partition(":///")[2].partition("?")[0]
    if uri.startswith("sqlite") and not Path(file).is_file():
        return False
    engine = create_engine(uri)
    try:
        with engine.connect() as opened:
            found = opened.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    except SQLAlchemyError:  # no such table yet
        return False
    finally:
        engine.dispose()
    newest = getattr(utils, "_get_latest_schema_revision", lambda: None)()
    return bool(found) and newest in (None, *found)
