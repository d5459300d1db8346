"""Run a tutorial headless, say what it recorded, and write it as a page.

python notebooks/demo.py                        the demo: 01, its page and a table
python notebooks/demo.py --refresh              run every tutorial and keep its outputs
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from tabulate import tabulate
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"

QUIET = {
    # Several threads stall where the machine has fewer free cores than they expect.
    "OMP_NUM_THREADS": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", nargs="?", default="01_flight_delays.ipynb")
    parser.add_argument("--refresh", action="store_true", help="keep the outputs of all tutorials")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # what the libraries say to their own developers
    if options.refresh:
        refresh()
        return
    started = time.monotonic()
    executed = run(HERE / options.notebook, HERE)
    page = write_page(executed, Path(options.notebook).stem)
    print(recorded(HERE / "flights"))
    print(f"\n{time.monotonic() - started:.0f} s; the notebook as a page: {page}")


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Execute a notebook in `folder` with a bar that shows the cell; stops at the first error."""
    notebook = nbformat.read(path, as_version=4)
    count = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(total=count, desc=path.stem, unit="cell", file=sys.stderr) as bar:
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            on_cell_executed=lambda **_: bar.update(),
            extra_arguments=["--log-level=ERROR"],
        )
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        return client.execute()


def write_page(notebook: nbformat.NotebookNode, name: str) -> Path:
    """The executed notebook as one HTML file under `notebooks/out`."""
    OUT.mkdir(exist_ok=True)
    page = OUT / f"{name}.html"
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    return page


def recorded(repository: Path) -> str:
    """A table of the runs of a repository, as MLflow has them."""
    import feast_nb

    rows: list[tuple[Any, ...]] = []
    for tracked in reversed(feast_nb.open(repository).recorded()):
        versions = ", ".join(
            f"{m.name}/{m.version}{''.join(f' @{a}' for a in m.aliases)}" for m in tracked.models
        )
        for r in tracked.retrievals:
            result = r.result
            given = f"{result.rows:,}" if result else "–"
            digest = result.fingerprint[:12] if result and result.fingerprint else "–"
            service = r.service or "list"
            rows.append(
                (tracked.name, r.kind, service, len(r.refs), given, digest, versions or "–")
            )
            versions = ""
    headers = ("run", "retrieval", "service", "features", "rows", "fingerprint", "model version")
    return str(tabulate(rows, headers, tablefmt="simple"))


def refresh() -> None:
    """Run all tutorials in a folder of their own and copy the notebooks back with outputs.

    Always the same folder, so that no path of anybody's machine is written into them.
    """
    folder = Path(tempfile.gettempdir()) / "feast_nb" / "notebooks"
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("data", "out", "__pycache__"))
    for path in sorted(HERE.glob("*.ipynb")):
        executed = run(folder / path.name, folder)
        for cell in executed.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(executed, path)


if __name__ == "__main__":
    main()
