"""The routes under `feast-nb/api/`: GET only, authenticated, errors as one line of JSON."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from logging import Logger
from typing import TYPE_CHECKING

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import authenticated

from ..errors import visible
from . import repositories, route_names
from .cached_answers import CachedAnswer, CachedAnswers
from .settings import Settings
from .worker_process import WorkerDied, WorkerHung, WorkerProcess

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerWebApplication

    from ..records.messages import Question, RepositoriesAnswer

_NOT_YET = {
    "starting": "Feast and MLflow are being imported; ask again.",
    "reading": "the answer is being read; ask again.",
}
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d+)")


def add(app: ServerWebApplication, settings: Settings, log: Logger) -> None:
    """Add the routes to a Jupyter server's web application."""
    process = WorkerProcess(log, settings.idle)
    answers = CachedAnswers(process.ask, lambda: process.ready, settings.limit)
    given = {"settings": settings, "answers": answers}
    base = url_path_join(app.settings["base_url"], "feast-nb", "api")
    app.settings["feast_nb_worker"] = process
    app.settings["feast_nb_answers"] = answers
    app.add_handlers(
        ".*$",
        [
            (url_path_join(base, route_names.REPOSITORIES), Repositories, given),
            (
                url_path_join(base, f"({'|'.join(route_names.OF_A_REPOSITORY)})"),
                QuestionHandler,
                given,
            ),
        ],
    )


class _Route(APIHandler):
    """What all routes share: an error is one line and a remedy."""

    def initialize(self, settings: Settings, answers: CachedAnswers) -> None:
        super().initialize()
        self._settings = settings
        self._answers = answers

    def say(self, status: int, message: str, reason: str) -> None:
        """One line in the place of an answer, and a word for why."""
        self.set_status(status)
        self.finish(json.dumps({"message": visible(message), "reason": reason}))

    def answer(self, body: bytes, etag: str) -> None:
        """The body, or 304 where the asker has it already."""
        self.set_header("ETag", f'W/"{etag}"')
        self.set_header("Cache-Control", "no-cache, private")
        if etag in self.request.headers.get("If-None-Match", ""):
            self.set_status(304)
            self.finish()
            return
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(body)

    def compute_etag(self) -> None:
        """Ours is told with the answer: tornado would hash megabytes for its own."""
        return None


class Repositories(_Route):
    """Which feature repositories there are, and what living kernels say of theirs."""

    @authenticated
    async def get(self) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(None, self._look)
        body = json.dumps(found).encode()
        etag = await loop.run_in_executor(None, _digest, body)
        self.answer(body, etag)

    def _look(self) -> RepositoriesAnswer:
        return {
            "repositories": [
                {"repo": f.repo, "project": f.project} for f in repositories.found(self._settings)
            ],
            "kernels": repositories.kernels(self._settings),
        }


class QuestionHandler(_Route):
    """What the worker is asked, about one repository."""

    @authenticated
    async def get(self, ask: str) -> None:
        question = await self._question(ask)
        if question is None:
            return
        try:
            found = await self._answers.get(question, self._wait())
        except WorkerHung:
            self.say(504, "the process that reads for the panel hung, and is started anew.", "Hung")
            return
        except WorkerDied:
            self.say(
                503, "the process that reads for the panel dies; see the server's log.", "Died"
            )
            return
        self._tell(found)

    def _tell(self, found: CachedAnswer) -> None:
        reply = found.reply
        self.set_header("Feast-Nb-State", found.state)
        if reply is None:
            self.set_header("Retry-After", "1")
            self.say(202, _NOT_YET[found.state], found.state)
            return
        if reply.as_of:
            self.set_header("Feast-Nb-As-Of", reply.as_of)
        if reply.status != 200:
            self.set_status(reply.status)
            self.finish(reply.body)
            return
        self.answer(reply.body, reply.etag or "")

    async def _question(self, ask: str) -> Question | None:
        """What is asked; None where that was refused."""
        loop = asyncio.get_running_loop()
        repo = self.get_query_argument("repo", None)
        if repo is None:
            known = await loop.run_in_executor(None, repositories.found, self._settings)
            if len(known) != 1:
                names = ", ".join(f.repo for f in known[:6]) or "none was found"
                self.say(404, f"name the repository with repo=; there is: {names}.", "NoRepo")
                return None
            yaml = known[0].yaml
        else:
            named = await loop.run_in_executor(None, repositories.repository, self._settings, repo)
            if named is None:
                self.say(404, f"there is no feature repository {repo}.", "NoRepo")
                return None
            yaml = named
        try:
            up, down, most = (self._number(n) for n in ("up", "down", "max_results"))
        except ValueError as problem:
            self.say(400, str(problem), "UsageError")
            return None
        uri = await loop.run_in_executor(None, repositories.tracking_uri, self._settings, yaml)
        return {
            "ask": ask,
            "repo": str(yaml),
            "tracking_uri": uri,
            "object": self._object,
            "page_token": self.get_query_argument("page_token", None) or None,
            "up": up,
            "down": down,
            "max_results": most,
            "anew": self.get_query_argument("anew", "") == "1",
        }

    @property
    def _object(self) -> str | None:
        """What is asked about; of a notebook the whole path: browsers have it from the root."""
        found = self.get_query_argument("object", None) or None
        kind, equals, path = (found or "").partition("=")
        if kind != "notebook" or not equals:
            return found
        drive, colon, rest = path.partition(":")  # `RTC:folder/a.ipynb`, as a drive of Jupyter's
        path = rest if colon and "/" not in drive else path
        return f"notebook={self._settings.root / path}"

    def _number(self, name: str) -> int | None:
        text = self.get_query_argument(name, "")
        if not text:
            return None
        if not (text.isascii() and text.isdecimal()) or len(text) > 6:
            raise ValueError(f"{name}={text[:20]} is no number; give one from 0 on.")
        return int(text)

    def _wait(self) -> float | None:
        """How long the asker would wait for a newer answer (RFC 7240); None: as long as needed."""
        found = _WAIT.search(self.request.headers.get("Prefer", ""))
        return float(found[1]) if found else None


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()
