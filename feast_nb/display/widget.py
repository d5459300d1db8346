"""A live drawing of a graph: an anywidget, for JupyterLab, VS Code, Colab and dashboards."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records.lineage import Lineage

if TYPE_CHECKING:
    from anywidget import AnyWidget

_SCRIPT = Path(__file__).parent.parent / "static" / "lineage.js"


def widget(it: Lineage) -> AnyWidget:
    """The widget of a graph. `selected` is the id of the clicked object, and may be set.

    Raises `FileNotFoundError` where the package was built without its scripts.
    """
    if not _SCRIPT.exists():
        raise FileNotFoundError(
            f"{_SCRIPT.name} is not built; install Node.js 20 and run `npm run build`."
        )
    return _kind()(it)


@cache
def _kind() -> type[AnyWidget]:
    """The widget's class: made late, since its base costs a tenth of a second to import."""
    import anywidget
    import traitlets

    class LineageWidget(anywidget.AnyWidget):
        """The same drawing as the lab extension's, alive: `selected` is what was clicked."""

        _esm = _SCRIPT
        _css = _SCRIPT.with_suffix(".css")
        graph = traitlets.Dict().tag(sync=True)
        selected = traitlets.Unicode("").tag(sync=True)

        def __init__(self, it: Lineage) -> None:
            super().__init__(graph=it.to_dict())
            self._it = it

        def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, object], dict[str, object]]:
            """The widget, with a picture for where no kernel is behind it."""
            from . import html
            from .text import records

            given = super()._repr_mimebundle_(**kwargs)
            data, about = given if isinstance(given, tuple) else (given, {})
            still = {"text/html": html.render(self._it), "text/plain": records.render(self._it)}
            return {**(data or {}), **still}, about

        def __repr__(self) -> str:
            return f"LineageWidget({self._it.title}, selected={self.selected!r})"

    return LineageWidget
