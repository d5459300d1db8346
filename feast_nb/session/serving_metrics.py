"""What is counted of served features, in the process's own Prometheus registry."""

from __future__ import annotations

from prometheus_client import Counter

# A service that exports `prometheus_client`'s registry, as Feast's feature server does, has it too.
FEATURES_SERVED = Counter(
    "feast_nb_features_served",
    "Values that were served to a model, by how they stood: present, null, expired, missing.",
    ["model", "status"],
)
