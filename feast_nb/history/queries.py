"""What is asked of a history, in SQL: who asked for which features, which models came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping

from ..records.facts import Kind, RegisteredModel, RunFact, RunGroup
from . import History
from .database import DETAILS, RUN

# Kind, number of the list of references, service.
Asked = tuple[Kind, int, str | None]
DAY = 86_400_000  # milliseconds

# A run that loads another model and has one of its own registered is a training: champion and
# challenger are compared in one run.
_MADE_MODELS = "id IN (SELECT run FROM versions WHERE run IS NOT NULL)"
_KIND = f"CASE WHEN kind = 'prediction' AND {_MADE_MODELS} THEN 'training' ELSE kind END"
_TRAINING = "('training', 'lookup', 'inherited')"
_COUNTED = "('training', 'prediction', 'lookup', 'inherited')"


def groups(
    history: History, since: int | None = None, experiment: str | None = None, stretch: int = DAY
) -> list[RunGroup]:
    """Runs by what they asked for, service and kind; `spread` in stretches of milliseconds."""
    with history.snapshot():
        return _groups(history, since, experiment, stretch)


def _groups(
    history: History, since: int | None, experiment: str | None, stretch: int
) -> list[RunGroup]:
    where, given = _where(since, experiment)
    where = f"deleted = 0 AND kind IN {_COUNTED} {where}"
    refs = references(history)
    users: dict[Asked, list[str]] = {}
    spread: dict[Asked, dict[int, int]] = {}
    for *who, user in history.rows(
        f"SELECT DISTINCT {_KIND}, asked, service, user FROM runs WHERE {where} "
        "AND user IS NOT NULL",
        *given,
    ):
        users.setdefault(tuple(who), []).append(user)
    ends: dict[Asked, tuple[int, int, int]] = {}
    for *of, at, count, first, last, cut in history.rows(
        f"SELECT {_KIND}, asked, service, started / {int(stretch)} AS at, count(*), min(started), "
        f"max(started), sum(cut) FROM runs WHERE {where} GROUP BY 1, 2, 3, 4",
        *given,
    ):
        key = tuple(of)
        spread.setdefault(key, {})[at] = count
        begin, end, before = ends.get(key, (first, last, 0))
        ends[key] = min(begin, first), max(end, last), before + cut
    numbers: dict[tuple[tuple[str, ...], str | None], int] = {}
    return [
        RunGroup(
            numbers.setdefault((tuple(sorted(refs[asked])), service), len(numbers)),
            refs[asked], service, kind, sum(spread[kind, asked, service].values()),
            first, last, cut, tuple(sorted(users.get((kind, asked, service), ()))),
            spread[kind, asked, service],
        )
        for (kind, asked, service), (first, last, cut) in sorted(ends.items(), key=_place)
    ]  # fmt: skip


def _place(of: tuple[Asked, object]) -> tuple[str, int, str]:
    kind, asked, service = of[0]
    return kind, asked, service or ""


def began(history: History, experiment: str | None = None) -> int | None:
    """When the first run that counts began."""
    where, given = _where(None, experiment)
    found = history.rows(
        f"SELECT min(started) FROM runs WHERE deleted = 0 AND kind IN {_COUNTED} {where}", *given
    )
    return found[0][0] if found else None


def models(
    history: History, groups: Collection[RunGroup] = (), project: str | None = None
) -> list[RegisteredModel]:
    """Every registered version that came of a run of the project, by name and version.

    One whose run is gone for good is there too, where its own tags say that it is the project's.
    """
    with history.snapshot():
        return _models(history, groups, project)


_VERSION = ("name", "version", "run", "model_id", "stage", "created", "service", "contract")


def _models(
    history: History, groups: Collection[RunGroup], project: str | None
) -> list[RegisteredModel]:
    refs = references(history)
    aliases: dict[tuple[str, int], list[str]] = {}
    for name, alias, version in history.rows("SELECT name, alias, version FROM aliases"):
        aliases.setdefault((name, version), []).append(alias)
    predictions = {
        (name, str(version)): (count, last)
        for name, version, count, last in history.rows(
            "SELECT model, version, count(*), max(started) FROM runs "
            # By the index of predictions (+: not by that of all runs), which are few.
            f"WHERE model IS NOT NULL AND +deleted = 0 AND NOT {_MADE_MODELS} GROUP BY 1, 2"
        )
    }
    numbers = {(g.refs, g.service): g.number for g in groups}
    found = []
    for row in history.named_rows(
        "SELECT v.name, v.version, v.model_id, v.stage, v.created, v.contract, v.tags, "
        "coalesce(v.asked, c.asked) AS own, r.asked, r.id AS run, r.service AS of_run, "
        "coalesce(v.service, c.service, r.service) AS service FROM versions v LEFT JOIN runs r "
        "ON r.id = v.run LEFT JOIN contracts c ON c.address = v.contract ORDER BY 1, 2"
    ):
        of_project = project is not None and _of(row["tags"]).get("feast_nb.project") == project
        if row["run"] is None and not of_project:
            continue
        place = row["name"], row["version"]
        count, last = predictions.get((row["name"], str(row["version"])), (0, None))
        own, asked = row["own"], row["asked"]
        known = own if own is not None else asked
        group = numbers.get((refs[asked], row["of_run"])) if asked is not None else None
        found.append(
            RegisteredModel(
                **{name: row[name] for name in _VERSION},
                aliases=tuple(sorted(aliases.get(place, ()))),
                refs=refs[known] if known is not None else (),
                group=group,
                own=own is not None,
                predictions=count,
                last_prediction=last,
            )
        )
    return found


def predictions_since(history: History, since: int) -> dict[tuple[str, str], int]:
    """Model and version → how many runs predicted with it from a moment on."""
    found = history.rows(
        "SELECT model, version, count(*) FROM runs WHERE model IS NOT NULL AND +deleted = 0 "
        f"AND started >= ? AND NOT {_MADE_MODELS} GROUP BY 1, 2",
        since,
    )
    return {(name, str(version)): count for name, version, count in found}


def references(history: History) -> dict[int, tuple[str, ...]]:
    """The number of each list of references that was asked for → the list."""
    return {id: tuple(json.loads(refs)) for id, refs in history.rows("SELECT id, refs FROM asked")}


def runs(
    history: History,
    *,
    ids: Collection[str] | None = None,
    kinds: Collection[str] = ("training", "prediction", "lookup", "inherited", "other"),
    service: str | None = None,
    model: str | None = None,
    version: str | None = None,
    user: str | None = None,
    notebook: str | None = None,
    since: int | None = None,
    after: tuple[int, str] | None = None,
    most: int = 50,
) -> list[RunFact]:
    """The newest runs that fit, newest first. `model` and `version`: trained it, or predicted.

    `after` is the start and id of the last run of the page before.
    """
    where: list[str] = ["r.deleted = 0"]
    given: list[object] = []
    if ids is not None:
        where.append(f"r.id IN ({_marks(ids)})")
        given += list(ids)
    else:
        where.append(f"r.kind IN ({_marks(kinds)})")
        given += list(kinds)
    for column, value in (
        ("r.service = ?", service),
        ("r.user = ?", user),
        ("r.started >= ?", since),
    ):
        if value is not None:
            where.append(column)
            given.append(value)
    if notebook is not None:
        # Paths are compared whole: two homes may hold the same checkout. Of a run that knows only
        # the end of its notebook's path, that is all there is to compare.
        where.append(
            "(r.notebook IN (?, ?) OR (r.notebook NOT LIKE '/%' "
            "AND substr(?, -length(r.notebook) - 1) = '/' || r.notebook))"
        )
        given += [notebook, os.path.realpath(notebook), notebook]
    if after is not None:
        where.append("(r.started < ? OR (r.started = ? AND r.id > ?))")
        given += [after[0], *after]
    if model is not None:
        which = "" if version is None else " AND version = ?"
        where.append(
            f"((r.model = ?{which}) OR r.id IN (SELECT run FROM versions WHERE name = ?{which}))"
        )
        given += [
            model,
            *([version] if version else []),
            model,
            *([int(version)] if version else []),
        ]
    return list(_runs(history, " AND ".join(where), given, most))


def newest(history: History, groups: Collection[RunGroup], most: int) -> dict[int, list[RunFact]]:
    """The newest runs of each group, by its number; those that predict are left out."""
    with history.snapshot():
        return _newest(history, groups, most)


def _newest(history: History, groups: Collection[RunGroup], most: int) -> dict[int, list[RunFact]]:
    ids = {refs: id for id, refs in references(history).items()}
    numbers = {(ids[g.refs], g.service): g.number for g in groups if g.refs in ids}
    if not numbers:
        return {}
    asked = sorted({a for a, _ in numbers})
    where = f"deleted = 0 AND kind IN {_TRAINING} AND asked IN ({_marks(asked)})"
    found = history.rows(
        "SELECT id, asked, service FROM (SELECT id, asked, service, row_number() OVER "
        "(PARTITION BY asked, service ORDER BY started DESC, id) AS place FROM runs "
        f"WHERE {where}) WHERE place <= ?",
        *asked,
        most,
    )
    group_of = {id: numbers[a, s] for id, a, s in found if (a, s) in numbers}
    kept: dict[int, list[RunFact]] = {}
    wanted = list(group_of)
    for at in range(0, len(wanted), 500):
        some = wanted[at : at + 500]
        for run in _runs(history, f"r.id IN ({_marks(some)})", some, len(some)):
            kept.setdefault(group_of[run.id], []).append(run)
    return {n: sorted(of, key=lambda r: (-r.started, r.id))[:most] for n, of in kept.items()}


def run_named(history: History, named: str) -> list[RunFact]:
    """Runs by their id, its beginning, or their name; newest first."""
    given = [named, named + "%" if len(named) >= 6 else named, named]
    which = "r.deleted = 0 AND (r.id = ? OR r.id LIKE ? OR r.name = ?)"
    return list(_runs(history, which, given, 20))


def notebooks(
    history: History, asked: Collection[tuple[str, ...]], service: str | None = None
) -> list[tuple[str, int, int]]:
    """Notebooks whose trainings asked for one of these lists (by that service): runs, last."""
    with history.snapshot():
        wanted = set(asked)
        ids = [id for id, refs in references(history).items() if refs in wanted]
        which = "" if service is None else "AND service = ?"
        return history.rows(
            "SELECT notebook, count(*), max(started) FROM runs WHERE deleted = 0 AND notebook IS "
            f"NOT NULL AND {_KIND} = 'training' AND asked IN ({_marks(ids)}) {which} "
            "GROUP BY 1 ORDER BY 3 DESC",
            *ids,
            *([service] if service is not None else []),
        )


def experiments(history: History) -> dict[str, str]:
    """Experiment id → name."""
    return dict(history.rows("SELECT id, name FROM experiments"))


def without_refs(history: History) -> int:
    """How many runs of the project use no features."""
    found = history.rows("SELECT count(*) FROM runs WHERE deleted = 0 AND kind = 'other'")
    return int(found[0][0])


_COLUMNS = ", ".join([f"r.{c}" for c in RUN] + [f"d.{c}" for c in DETAILS] + ["a.refs"])


def _runs(history: History, where: str, given: Collection[object], most: int) -> Iterator[RunFact]:
    for row in history.named_rows(
        f"SELECT {_COLUMNS} FROM runs r JOIN asked a ON a.id = r.asked JOIN details d ON "
        f"d.run = r.id WHERE {where} ORDER BY r.started DESC, r.id LIMIT ?",
        *given,
        most,
    ):
        texts = {name: _of(row[name]) for name in DETAILS}
        switches = {name: bool(row[name]) for name in ("deleted", "cut")}
        yield RunFact(**{**row, **texts, **switches, "refs": tuple(json.loads(row["refs"]))})


def _of(text: str) -> Mapping[str, object]:
    found: dict[str, object] = json.loads(text)
    return found


def _where(since: int | None, experiment: str | None) -> tuple[str, list[object]]:
    parts: list[str] = []
    given: list[object] = []
    if since is not None:
        parts.append("AND started >= ?")
        given.append(since)
    if experiment is not None:
        parts.append("AND experiment IN (SELECT id FROM experiments WHERE name = ?)")
        given.append(experiment)
    return " ".join(parts), given


def _marks(of: Collection[object]) -> str:
    return ",".join("?" * len(of))
