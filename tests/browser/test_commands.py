"""The palette's commands, in the lab a user has."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, TimeoutError

from .conftest import Lab

COMMANDS = ["feast-nb:insert-load", "feast-nb:insert-train", "feast-nb:insert-run"]

SOURCES = """
() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  return [...content.model.cells].map(cell => cell.sharedModel.getSource());
}
"""


READ = """
sources => {
  const { content, context } = window.jupyterapp?.shell.currentWidget ?? {};
  if (!context?.isReady || !content?.activeCell) {
    return false;
  }
  const found = [...content.model.cells].map(cell => cell.sharedModel.getSource());
  return JSON.stringify(found) === JSON.stringify(sources);
}
"""


def open_notebook(page: Page, lab: Lab, *sources: str) -> None:
    """Write a notebook of code cells and open it, its first cell active."""
    # Without a kernel's name the lab asks for one, in a dialog over everything.
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = new_notebook(
        cells=[new_code_cell(source) for source in sources],
        metadata={"kernelspec": kernel},
    )
    nbformat.write(notebook, lab.root / "commands.ipynb")
    page.goto(lab.tree("commands.ipynb"))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content")
    # The notebook has an empty cell before its file has been read: an active cell is too early.
    page.wait_for_function(READ, arg=list(sources))


def test_insert_load_writes_the_cell_below_the_active_one(lab_server: Lab, page: Page) -> None:
    open_notebook(page, lab_server, "before = 1", "after = 2")

    assert page.evaluate("id => window.jupyterapp.commands.execute(id)", COMMANDS[0])

    assert page.evaluate(SOURCES) == ["before = 1", "%load_ext feast_nb", "after = 2"]
    assert (
        page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCell.model.type")
        == "code"
    )
    # what the user sees, and where the next key goes
    assert page.locator(".jp-Cell.jp-mod-active .cm-content").inner_text() == "%load_ext feast_nb"
    page.wait_for_selector(".jp-Cell.jp-mod-active .cm-editor.cm-focused")


def test_commands_are_enabled_only_with_a_notebook_in_front(lab_server: Lab, page: Page) -> None:
    open_notebook(page, lab_server, "")
    enabled = "ids => ids.map(id => window.jupyterapp.commands.isEnabled(id))"
    assert page.evaluate(enabled, COMMANDS) == [True, True, True]

    page.evaluate("() => window.jupyterapp.commands.execute('launcher:create')")
    page.wait_for_selector(".jp-Launcher-body")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget?.content?.activeCell")

    assert page.evaluate(enabled, COMMANDS) == [False, False, False]


def test_the_palette_lists_the_commands_under_feast(lab_server: Lab, page: Page) -> None:
    open_notebook(page, lab_server, "")

    page.evaluate("async () => { await window.jupyterapp.restored }")
    shown = page.locator(".lm-CommandPalette-header:has-text('Feast') ~ .lm-CommandPalette-item")
    for left in reversed(range(40)):
        page.evaluate(
            "() => void window.jupyterapp.commands.execute('apputils:activate-command-palette')"
        )
        try:
            page.locator(".lm-CommandPalette-input").fill("feast insert", timeout=2000)
            shown.first.wait_for(timeout=2000)
            break
        except TimeoutError:  # a notebook that still opens takes the focus: the palette closes
            if not left:
                raise
    # Beside them those of the side panel, which are about the object that it shows.
    assert {item.get_attribute("data-command") for item in shown.all()} >= set(COMMANDS)
