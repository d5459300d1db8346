"""Which notebook it is, by what each launcher leaves: arguments, environment, files, variables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from feast_nb.notebook.identity import UNKNOWN, Identity, Launcher, identify, source_type

PYTHON = "/usr/bin/python3"
LAB = (PYTHON, "/opt/bin/jupyter-lab", "alpha.ipynb")


@pytest.fixture(autouse=True)
def kernel(monkeypatch, tmp_path) -> Path:
    """A kernel in a folder with a few notebooks."""
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    for name in ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    save("alpha.ipynb", "%load_ext feast_nb", "a = 1")
    save("beta.ipynb", "%load_ext feast_nb", "b = 2")
    return tmp_path


def save(name: str, *cells: str) -> None:
    document = {"cells": [{"source": c.splitlines(True)} for c in cells]}
    Path(name).write_text(json.dumps(document))


def shell(kernel_class: str = "IPythonKernel", **variables: Any) -> Any:
    return SimpleNamespace(user_ns=variables, kernel=type(kernel_class, (), {})())


def found(arguments: tuple[str, ...], *texts: str, **more: Any) -> Identity:
    environment = more.get("environment", {})
    return identify(
        more.get("shell", shell()), texts or ("a = 1",), Launcher(arguments, environment)
    )


def here(name: str) -> str:
    return str(Path(name).resolve())


@pytest.mark.parametrize(
    "arguments",
    [LAB, (PYTHON, "/opt/bin/jupyter-notebook"), (PYTHON, "-m", "notebook", "alpha.ipynb"),
     (PYTHON, "/opt/bin/jupyterhub-singleuser", "--base-url=/user/me/")],
    ids=["lab with a file", "notebook 7", "python -m notebook", "hub"],
)  # fmt: skip
def test_a_server_says_which_notebook_each_kernel_is_of(arguments, monkeypatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/beta.ipynb")

    assert found(arguments) == Identity("notebook", "/home/me/beta.ipynb")


def test_a_sessions_name_that_the_parent_has_too_is_anothers(monkeypatch) -> None:
    """nbclient in a notebook: its kernel inherits the name of the notebook that called it."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/outer.ipynb")

    inherited = found((PYTHON, "run.py"), environment={"JPY_SESSION_NAME": "/home/me/outer.ipynb"})

    assert inherited.notebook == here("alpha.ipynb")
    assert not inherited.sure


def test_a_parent_whose_environment_nobody_may_read_must_look_like_a_server(monkeypatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/beta.ipynb")

    assert found((PYTHON, "job.py"), "z = 1", environment=None).notebook == UNKNOWN
    assert found(LAB, environment=None).notebook == "/home/me/beta.ipynb"


def test_a_console_in_the_lab_has_a_session_and_no_notebook(monkeypatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/console-1-ab")

    assert found(LAB) == Identity("console")


@pytest.mark.parametrize(
    "arguments",
    [(PYTHON, "/opt/bin/jupyter-console"), (PYTHON, "-m", "jupyter_console"),
     (PYTHON, "/opt/bin/jupyter", "console"), (PYTHON, "/opt/bin/jupyter-qtconsole")],
)  # fmt: skip
def test_a_console_is_no_notebook_whatever_lies_in_the_folder(arguments) -> None:
    console = found(arguments, "a = 1")

    assert (console.frontend, console.notebook) == ("console", None)
    assert console.source == "Jupyter console"
    assert source_type("Jupyter console") == "LOCAL"


def test_an_engine_is_no_notebook() -> None:
    engine = found((PYTHON, "-m", "ipyparallel.engine"), shell=shell("IPythonParallelKernel"))

    assert (engine.notebook, engine.source) == (None, "ipyparallel engine")


@pytest.mark.parametrize(
    "arguments",
    [(PYTHON, "/opt/bin/jupyter-nbconvert", "--execute", "alpha.ipynb", "beta.ipynb"),
     (PYTHON, "-m", "papermill", "beta.ipynb", "out.ipynb"),
     (PYTHON, "/opt/bin/jupyter-execute", "beta.ipynb"),
     (PYTHON, "/opt/bin/pytest", "--nbmake", "beta.ipynb")],
    ids=["nbconvert", "papermill", "execute", "nbmake"],
)  # fmt: skip
def test_of_the_notebooks_on_a_command_line_it_is_the_one_with_the_cell(arguments) -> None:
    assert found(arguments, "%load_ext feast_nb", "b = 2") == Identity(
        "notebook", here("beta.ipynb")
    )


def test_a_cell_that_several_hold_and_one_that_none_holds_tell_nothing() -> None:
    several = (PYTHON, "/opt/bin/jupyter-nbconvert", "alpha.ipynb", "beta.ipynb")
    single = (PYTHON, "/opt/bin/pytest", "--nbmake", "beta.ipynb")

    assert found(several, "%load_ext feast_nb").notebook == UNKNOWN
    assert found(single, "a = 1").notebook == UNKNOWN, "testbook runs alpha in a test of beta"
    assert not found(single, "a = 1").sure


def test_a_copy_that_the_launcher_writes_is_not_the_notebook() -> None:
    save("out.ipynb", "%load_ext feast_nb", "b = 2")
    papermill = (PYTHON, "/opt/bin/papermill", "beta.ipynb", "out.ipynb")
    converts = (PYTHON, "jupyter-nbconvert", "beta.ipynb", "--output", "out.ipynb")

    assert found(papermill, "b = 2").notebook == here("beta.ipynb")
    assert found(converts, "b = 2").notebook == here("beta.ipynb")


def test_papermills_own_cell_of_parameters_is_in_no_notebook() -> None:
    arguments = (PYTHON, "-m", "papermill", "beta.ipynb", "out.ipynb")

    assert found(arguments, "# Parameters\nx = 1").notebook == UNKNOWN
    assert found(arguments, "# Parameters\nx = 1", "b = 2").notebook == here("beta.ipynb")


def test_paths_of_a_command_line_are_meant_from_where_it_runs(tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    save("deep/gamma.ipynb", "c = 3")
    by = Launcher((PYTHON, "jupyter-nbconvert", "gamma.ipynb"), {}, tmp_path / "deep")

    assert identify(shell(), ["c = 3"], by).notebook == here("deep/gamma.ipynb")


def test_a_script_that_runs_a_notebook_says_nothing_the_cells_do() -> None:
    script = (PYTHON, "run.py")

    assert found(script, "%load_ext feast_nb").notebook == UNKNOWN
    assert found(script, "%load_ext feast_nb", "a = 1") == Identity(
        "notebook", here("alpha.ipynb"), sure=False
    )
    assert found(script, "%load_ext feast_nb", "a = 1", "typed = 1").notebook == UNKNOWN


def test_vs_code_says_its_path() -> None:
    code = shell(__vsc_ipynb_file__="/a/b.ipynb")

    assert found((PYTHON, "run.py"), shell=code) == Identity("notebook", "/a/b.ipynb")


def test_vs_code_on_a_server_of_another_machine_tells_a_made_up_name(monkeypatch) -> None:
    """Its sessions have names like the notebook's, whose path that server does not know."""
    made_up = "/home/me/alpha-jvsc-6ba7b810-9dad-11d1-80b4-00c04fd430c8.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", made_up)

    assert found(LAB) == Identity("notebook", UNKNOWN)


def test_colab_is_named_as_what_it_is(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    colab = found((PYTHON, "/usr/local/bin/jupyter-notebook"), "a = 1")

    assert (colab.notebook, colab.source) == (UNKNOWN, "Colab notebook")


def test_outside_a_kernel_there_is_no_notebook(monkeypatch) -> None:
    """A script, a terminal's IPython, a worker of Dask's or joblib's, marimo."""
    monkeypatch.delitem(sys.modules, "ipykernel")

    assert found((PYTHON, "/opt/bin/marimo"), shell=shell(__vsc_ipynb_file__="/x.ipynb")) == (
        Identity("none")
    )


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '{"cells": null}', '{"cells": ["x"]}', '{"worksheets": []}',
     '{"cells": [{"source": null}]}', '{"cells": [{"source": ["a", 3]}]}', "\udcff"],
)  # fmt: skip
def test_a_broken_notebook_nearby_is_passed_over(text: str) -> None:
    """This runs before each first cell: an error here would stand above the user's output."""
    Path("broken.ipynb").write_bytes(text.encode("utf-8", "surrogateescape"))

    assert found((PYTHON, "run.py"), "a = 1").notebook == here("alpha.ipynb")
