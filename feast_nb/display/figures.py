"""Answers as plotly figures, for those who want to zoom, restyle or publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records.lineage import Usage
from .pictures import COLOURS, heads

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..records.lineage import ModelUse


def usage(it: Usage) -> go.Figure:
    """Runs over time above, features by models below: a `plotly.graph_objects.Figure`."""
    from datetime import datetime, timedelta

    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    features, models = heads(it)
    figure = make_subplots(
        rows=2, cols=1, row_heights=[0.3, 0.7], vertical_spacing=0.12,
        subplot_titles=("runs over time", "features by models"),
    )  # fmt: skip
    begin = datetime.fromisoformat(it.since) if it.since else datetime(1970, 1, 1)
    times = [begin + timedelta(days=it.stretch * n) for n in range(len(it.trend))]
    figure.add_trace(
        go.Bar(x=times, y=list(it.trend), marker_color=COLOURS["view"], name="runs"), row=1, col=1
    )
    using = [{m.name: m for m in f.models} for f in features]
    figure.add_trace(
        go.Heatmap(
            z=[[_strength(of.get(m)) for m in models] for of in using],
            x=models,
            y=[f.ref for f in features],
            text=[[of[m].said if m in of else "" for m in models] for of in using],
            hovertemplate="%{y}<br>%{text}<extra></extra>",
            colorscale=[[0, "rgba(128,128,128,0.12)"], [1, COLOURS["model"]]],
            showscale=False,
            xgap=1,
            ygap=1,
        ),
        row=2,
        col=1,
    )
    figure.update_yaxes(autorange="reversed", row=2, col=1)
    figure.update_layout(height=260 + 18 * max(len(features), 6), showlegend=False)
    return figure


def _strength(use: ModelUse | None) -> float:
    """Nothing, a version that uses it, or one that an alias points at."""
    return 0.0 if use is None else 1.0 if use.aliases else 0.5
