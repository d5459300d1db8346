"""One story, told by a notebook of one stack: `python -m tests.stack.story REPO NAME OUT`.

It runs in a process of its own, which knows nothing but what a notebook of that stack is given.
Each step leaves how long it took and what came of it, or the one line that it failed with.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pandas as pd

from feast_nb.server import route_names

from ..conftest import NOW, Notebook, answers, free_port, wait_for

Step = Callable[["Story"], Any]
STEPS: dict[str, Step] = {}


def step(does: Step) -> Step:
    STEPS[does.__name__.replace("_", " ")] = does
    return does


class Story:
    """A notebook, and the name of the stack's model."""

    def __init__(self, repo: Path, name: str) -> None:
        self.repo, self.model = repo, f"{name}_model"
        self.book = Notebook()
        self.book.run("%load_ext feast_nb")
        self.book.space["repo"] = str(repo)

    def run(self, source: str) -> Any:
        return self.book.run(source)

    def shown(self) -> str:
        """What the last output said as text."""
        return str(self.book.shown[-1]["text/plain"]) if self.book.shown else ""


@step
def open_the_store(story: Story) -> None:
    story.run("store = %feast_store {repo}")


@step
def plan(story: Story) -> list[str]:
    found = story.run("%feast_plan {repo}")
    for unknown in found.unchecked:  # where a notebook has no access to the sources
        assert "cannot be looked at from here" in unknown, unknown
    return [f"{change.action} {change.object}" for change in found.changes]


@step
def apply(story: Story) -> None:
    assert story.run("%feast_apply --yes").applied
    assert not story.run("%feast_plan").changes


@step
def train_and_register(story: Story) -> dict[str, Any]:
    story.book.space["drivers"] = entities()
    made = story.run(
        f"%%feast_train v1 --service activity --entity-df drivers --register {story.model} "
        "--alias champion\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(training_df[['trips', 'conv_rate', 'doubled']], "
        "training_df['y'])"
    )
    story.run(
        f"%%feast_train v2 --features hourly:trips hourly:acc_rate --entity-df drivers --register "
        f"{story.model}\n"
        "model = LogisticRegression(C=2).fit(training_df[['acc_rate', 'trips']], training_df['y'])"
    )
    (retrieval,) = story.run(f"%feast_features {story.model}/1") and made.retrievals
    return {"fingerprint": retrieval.result.fingerprint, "rows": retrieval.result.rows}


@step
def materialize(story: Story) -> list[str]:
    done = story.run("%feast_materialize --start 2024-01-01 --end 2024-01-12")
    assert done.notes == (), done.notes
    return [f"{load.view} {load.state}" for load in done.views]


@step
def health(story: Story) -> dict[str, str]:
    """No line is red; what this notebook has no access to is unknown, and nothing else is."""
    found = story.run(f"%feast_health --seconds 60 --model {story.model}@champion")
    lights = {f"{line.part}: {line.name}": f"{line.light}: {line.said}" for line in found.lines}
    assert not [said for said in lights.values() if said.startswith(("red", "amber"))], lights
    return {f"{line.part} {line.name}": line.light for line in found.lines
            if line.part in ("view", "skew", "model")}  # fmt: skip


@step
def resolve(story: Story) -> dict[str, Any]:
    found = story.run(f"%feast_resolve {story.model}@champion")
    assert not found.drift, found.drift
    contract = dataclasses.asdict(found.contract)
    for of_the_stack in ("model_id", "run_id", "project", "retrievals", "cell", "definitions"):
        contract.pop(of_the_stack)
    for view in contract["views"]:
        view["hashes"].pop("location")  # of its source
    return json.loads(json.dumps(contract, default=str))


@step
def features(story: Story) -> str:
    return str(story.run(f"%feast_features {story.model}/1"))


@step
def score_online(story: Story) -> list[float]:
    story.book.space["keys"] = entities()[["driver_id"]].assign(bonus=1)
    found = story.run(f"%feast_score {story.model}@champion --entities keys")
    assert found["prediction"].notna().all(), found
    return [float(value) for value in found["prediction"]]


@step
def score_as_of(story: Story) -> list[float]:
    story.book.space["then"] = entities().drop(columns="y")
    found = story.run(
        f"%feast_score {story.model}@champion --entities then --as-of event_timestamp"
    )
    return [float(value) for value in found["prediction"]]


@step
def vector(story: Story) -> list[list[float]]:
    import feast_nb

    session = feast_nb.open(story.repo)
    rows = [{"driver_id": n, "bonus": 1} for n in (1, 2)]
    array, status = session.vector(f"{story.model}@champion", rows, with_status=True)
    assert set(status.ravel()) == {"present"}, status
    return [[float(value) for value in row] for row in array]


@step
def reproduce(story: Story) -> str:
    found = story.run(f"%feast_reproduce {story.model}/1 --verify")
    assert found.verdict == "identical", found.notes
    return str(found.verdict)


@step
def diff(story: Story) -> None:
    story.run(f"%feast_diff {story.model}/1 {story.model}/2")


@step
def usage(story: Story) -> list[str]:
    found = story.run("%feast_usage")
    return sorted(str(feature.ref) for feature in found.features)


@step
def lineage(story: Story) -> None:
    story.run(f"%feast_lineage {story.model}@champion")


@step
def impact(story: Story) -> int:
    found = story.run("%feast_impact hourly:trips")
    return len(found.models)


@step
def runs(story: Story) -> int:
    return len(story.run("%feast_runs").runs)


@step
def operations(story: Story) -> list[str]:
    return sorted(f"{o.what} {o.status}" for o in story.run("%feast_ops").operations)


@step
def catalog(story: Story) -> dict[str, Any]:
    """Kinds and columns as the panel's catalog has them."""
    from feast_nb.integrations.feast import repository

    found = repository.catalog(story.book.space["store"])
    return {
        "sources": dict(found.sources),
        "views": {name: list(view.features) for name, view in found.views.items()},
        "services": {name: list(each.refs) for name, each in found.services.items()},
    }


@step
def panel(story: Story) -> list[str]:
    """Every route of the side panel, by a Jupyter server of the notebook's own."""
    port, token = free_port(), "story"
    log = (story.repo.parent / f"{story.repo.name}-jupyter.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", f"--port={port}",
         f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={story.repo}",
         "--ServerApp.jpserver_extensions={'feast_nb': True}"],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/api/status?token={token}"), 60, log.name)
        more = {route_names.IMPACT: "&object=hourly"}
        told = {
            route: _asked(f"http://127.0.0.1:{port}/feast-nb/api/{route}?token={token}"
                          f"{more.get(route, '')}")
            for route in route_names.ALL
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait(timeout=60)
    (view,) = [v for v in told[route_names.CATALOG]["views"] if v["name"] == "hourly"]
    assert view["training"] == 2, view
    return sorted(told)


def _asked(url: str) -> Any:
    """A route's answer, asked until it has one."""
    for _ in range(600):
        try:
            with urlopen(url, timeout=120) as answer:
                if answer.status == 200:
                    return json.loads(answer.read())
        except HTTPError as problem:
            raise AssertionError(f"{url}: {problem.read().decode()[:500]}") from None
        time.sleep(0.1)
    raise AssertionError(f"no answer of {url}")


def entities() -> pd.DataFrame:
    return pd.DataFrame({"driver_id": range(10), "event_timestamp": [NOW] * 10,
                         "bonus": range(10), "y": [0, 1] * 5})  # fmt: skip


def named_by_flavour() -> None:
    """A logged model names the packages of its flavour, as in the other tests: no search for more."""
    import mlflow.models

    mlflow.models.infer_pip_requirements = lambda uri, flavor, fallback=None, *more, **rest: (
        fallback
    )


def main(repo: str, name: str, out: str) -> None:
    named_by_flavour()
    story, told = Story(Path(repo), name), {}
    for what, does in STEPS.items():
        began = time.monotonic()
        try:
            told[what] = {"ok": True, "value": does(story)}
        except BaseException as problem:
            told[what] = {"ok": False, "said": f"{type(problem).__name__}: {problem}"}
        told[what]["seconds"] = round(time.monotonic() - began, 2)
        Path(out).write_text(json.dumps(told, indent=1))
    story.run("%unload_ext feast_nb")


if __name__ == "__main__":
    main(*sys.argv[1:])
