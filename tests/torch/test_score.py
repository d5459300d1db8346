"""A PyTorch model is fed by position: in its own order, in processes of every hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pandas as pd

from ..conftest import stats

ORDER = ["trips", "conv_rate", "acc_rate"]
TRAIN = """%%feast_train v1 --features hourly:trips,hourly:conv_rate,hourly:acc_rate \
--entity-df drivers --register net
import torch
torch.manual_seed(0)
x = torch.tensor(training_df[["trips", "conv_rate", "acc_rate"]].to_numpy(dtype="float32"))
y = torch.tensor(training_df[["y"]].to_numpy(dtype="float32"))
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for _ in range(3):
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(net(x), y).backward()
    optimizer.step()
"""
SCORE = """
import json, sys
import pandas as pd
import torch
import feast_nb

session = feast_nb.open(sys.argv[1])
drivers = pd.read_parquet(sys.argv[2])
found = {}
order = ["trips", "conv_rate", "acc_rate"]  # which a module does not say
for way, options in {"online": {}, "as of": {"as_of": "event_timestamp"}}.items():
    scored = session.score("net", drivers, with_features=True, columns=order, **options)
    fed = scored.drop(columns=[*drivers.columns, "prediction"])
    found[way] = {"columns": list(fed.columns), "fed": fed.to_numpy("float64").tolist(),
                  "prediction": [float(v) for v in scored["prediction"]]}
rows = drivers[["driver_id"]].to_dict("records")
net = session.load_model("net")
frame = session.store.get_online_features(session.store.get_feature_service("activity"), rows)
by_hand = frame.to_df().drop(columns="driver_id").to_numpy("float32")
with torch.no_grad():
    array = session.vector("net", rows, columns=order).astype("float32")
    found["vector"] = net(torch.from_numpy(array)).ravel().tolist()
    found["by hand"] = net(torch.from_numpy(by_hand)).ravel().tolist()
print("FOUND" + json.dumps(found))
"""


def test_a_module_predicts_for_keys_as_it_did_in_training(
    notebook, repo, drivers, tmp_path
) -> None:
    """Online, as of a moment, and from a vector; what people write by hand is the control."""
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    notebook.run(TRAIN)
    notebook.space["store"].materialize(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
    )
    latest = stats().groupby("driver_id").last().loc[drivers["driver_id"], ORDER]
    fed = latest.to_numpy(dtype="float32")
    notebook.space["fed"] = fed
    expected = notebook.run("with torch.no_grad():\n    said = net(torch.from_numpy(fed))\nsaid")
    expected = expected.ravel().tolist()
    drivers.to_parquet(tmp_path / "drivers.parquet")

    wrong = []
    for seed in (0, 1):
        found = score(repo, tmp_path, seed)
        for way in ("online", "as of"):
            assert found[way]["columns"] == ORDER
            assert found[way]["fed"] == latest.to_numpy("float64").tolist()
            assert found[way]["prediction"] == expected
        assert found["vector"] == expected
        wrong.append(found["by hand"] != expected)
    assert any(wrong)
    assert len(set(expected)) == len(drivers)


def score(repo, tmp_path, seed: int) -> dict:
    environment = os.environ | {
        "PYTHONHASHSEED": str(seed),
        "FEAST_NB_STATE": str(tmp_path / f"state-{seed}"),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(repo), str(tmp_path / "drivers.parquet")],
        capture_output=True, text=True, cwd=repo, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = (text for text in done.stdout.splitlines() if text.startswith("FOUND"))
    return json.loads(line.removeprefix("FOUND"))


def test_a_module_with_one_row_without_features_predicts_for_the_others(
    notebook, repo, drivers
) -> None:
    """A null is NaN for a tensor: the module answers NaN for that row, and for no other."""
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    notebook.run(TRAIN)
    notebook.space["store"].materialize(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
    )
    notebook.space["keys"] = pd.DataFrame({"driver_id": [1, 99, 2]})
    scored = notebook.run("%feast_score net --entities keys --columns trips,conv_rate,acc_rate")

    assert scored["prediction"].isna().tolist() == [False, True, False]
