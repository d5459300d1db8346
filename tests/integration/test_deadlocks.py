"""A cell that imports while our threads deliver: neither waits for the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: modules are loaded for the first time once. Where it hangs, it says where.
SCRIPT = """
import faulthandler, sys
faulthandler.dump_traceback_later(240, exit=True)
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
def cell(text):
    done = shell.run_cell(text)
    done.raise_error()
import mlflow.models
mlflow.models.infer_pip_requirements = lambda *args, **kwargs: ["scikit-learn"]  # a process each
cell("%load_ext feast_nb")
from feast_nb.patching import threads
seen = []
sys.addaudithook(lambda event, args: event == "import" and threads.is_ours() and seen.append(args[0]))
cell('''
import pandas as pd
from sklearn.linear_model import LinearRegression
store = %feast_store {repo}
drivers = pd.DataFrame({{"driver_id": [1, 2, 3] * 2, "y": range(6), "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * 6}})
''')
cell('''{cell}''')
print("IMPORTS", seen)
print("DONE", flush=True)
"""

EVALUATE = """
mlflow.models.evaluate(
    model.predict, df[["trips"]].fillna(0).assign(y=df.y), targets="y", model_type="regressor",
    evaluators="default", evaluator_config={"log_explainer": False})
"""
AUTOLOG = "mlflow.autolog(silent=True)\nimport lightgbm, xgboost"
SLOW = """
import time
from mlflow.utils.import_hooks import register_post_import_hook
for name in ("xmlrpc.client", "mailbox", "tabnanny", "wave"):
    register_post_import_hook(lambda module: time.sleep(0.3), name)
    __import__(name)
"""
TRAIN = """%%feast_train ev --service activity --entity-df drivers
import mlflow
df = training_df
model = LinearRegression().fit(df[["trips"]].fillna(0), df["y"])
"""
RUN = """
import mlflow
store.mlflow
with store.mlflow.start_run("ev"):
    df = store.get_historical_features(drivers, store.get_feature_service("activity")).to_df()
    model = LinearRegression().fit(df[["trips"]].fillna(0), df["y"])
"""


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


@pytest.mark.parametrize(
    "cell",
    [TRAIN + EVALUATE, RUN + indented(EVALUATE), TRAIN + AUTOLOG, RUN + indented(SLOW)],
    ids=["evaluate in a training", "evaluate in a run", "autolog", "slow imports"],
)
def test_records_are_sent_while_the_cell_imports(repo: Path, cell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT.format(repo=repo, cell=cell)],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip

    assert "DONE" in done.stdout, done.stderr[-6000:]
    assert "IMPORTS []" in done.stdout, done.stdout[-2000:]
