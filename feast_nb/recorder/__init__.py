"""The write path: from a call of Feast's or MLflow's to a record, on disk and then in MLflow.

`retrieval_listener` and `run_listener` are told of calls, `recording` keeps what they say,
`delivery` puts it on disk and sends it. There is one recorder for each process, from
`%load_ext feast_nb` or the first `feast_nb.open`; it imports neither library.
"""

from __future__ import annotations

import sys

from .recorder import Recorder

_recorder: Recorder | None = None


def current(interactive: bool = False) -> Recorder:
    """The recorder of this process, started on first use.

    `interactive` is what `%load_ext` says: a notebook, where nothing need be awake yet.
    """
    global _recorder
    if _recorder is None:
        import atexit

        _recorder = Recorder(last_at_exit=shut)
        _recorder.notices.interactive = interactive
        _recorder.start()
        _recorder.recover()
        atexit.register(shut)
    if not interactive:
        _recorder.wake()
    _recorder.notices.interactive = _recorder.notices.interactive or interactive
    return _recorder


def shut() -> None:
    """Stop the recorder, if there is one; the next `current` starts a new one."""
    global _recorder
    if _recorder is not None:
        stopping, _recorder = _recorder, None
        if "mlflow" in sys.modules and stopping.notices.interactive:
            _end_open(stopping)
        stopping.stop()


def _end_open(recorder: Recorder) -> None:
    """A kernel that shuts down with runs open did not finish them."""
    from ..errors import TrackingError
    from ..integrations.mlflow import runs
    from ..records.outbox import RunEnd

    for run in reversed(recorder.runs.begun_here()):
        recorder.run_listener.run_ends(run.id, "KILLED")
        try:
            runs.end(run.tracking_uri, run.id, "KILLED")
        except TrackingError:
            recorder.recording.put(run, RunEnd("KILLED", late=True))
        recorder.run_listener.run_ended(run.id)
