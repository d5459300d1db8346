"""What the flights repository offers: entities, views and the services that models are made of."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.data_format import ParquetFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

# Feast's DuckDB store looks for a relative path in the working folder and not in the repository,
# so a relative one works only for a kernel that was started here. The registry is rebuilt by
# apply on each machine, so the absolute path goes no further than this clone.
DATA = Path(__file__).resolve().parent / "data"

OPERATIONS = "operations@flights.example"
FLEET = "fleet@flights.example"


def source(name: str, description: str) -> FileSource:
    """The Parquet file of this name that sources.py writes."""
    return FileSource(
        name=f"{name}_source",
        path=str(DATA / f"{name}.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        description=description,
    )


origin = Entity(
    name="origin",
    join_keys=["origin"],
    value_type=ValueType.STRING,
    description="Airport of departure: EWR, JFK or LGA.",
    owner=OPERATIONS,
)
carrier = Entity(
    name="carrier",
    join_keys=["carrier"],
    value_type=ValueType.STRING,
    description="Two-letter code of the airline.",
    owner=OPERATIONS,
)
tailnum = Entity(
    name="tailnum",
    join_keys=["tailnum"],
    value_type=ValueType.STRING,
    description="Registration painted on the aircraft's tail.",
    owner=FLEET,
)

origin_weather = FeatureView(
    name="origin_weather",
    entities=[origin],
    ttl=timedelta(hours=3),  # older weather says little: better no value than a stale one
    schema=[
        Field(name="temp", dtype=Float64, description="Temperature, °F"),
        Field(name="humid", dtype=Float64, description="Relative humidity, %"),
        Field(name="wind_dir", dtype=Float64, description="Where the wind blows from, degrees"),
        Field(name="wind_speed", dtype=Float64, description="Wind speed, mph"),
        Field(name="precip", dtype=Float64, description="Precipitation in the hour, inches"),
        Field(name="pressure", dtype=Float64, description="Sea level pressure, hPa"),
        Field(name="visib", dtype=Float64, description="Visibility, miles"),
    ],
    source=source("origin_weather", "Hourly weather, known from the end of its hour."),
    online=True,
    description="Weather at the airport of departure, hour by hour.",
    tags={"domain": "weather", "refresh": "hourly"},
    owner=OPERATIONS,
)

carrier_delays = FeatureView(
    name="carrier_delays",
    entities=[carrier],
    ttl=timedelta(days=2),
    schema=[
        Field(name="mean_delay_1d", dtype=Float64, description="Mean arrival delay, min, 1 day"),
        Field(name="late_share_1d", dtype=Float64, description="Share over 15 min late, 1 day"),
        Field(name="flights_1d", dtype=Int64, description="Arrivals, 1 day"),
        Field(name="mean_delay_7d", dtype=Float64, description="Mean arrival delay, min, 7 days"),
        Field(name="late_share_7d", dtype=Float64, description="Share over 15 min late, 7 days"),
        Field(name="flights_7d", dtype=Int64, description="Arrivals, 7 days"),
    ],
    source=source("carrier_delays", "Rolling statistics, stamped after the arrivals they count."),
    online=True,
    description="How punctual the carrier has been, as known at each hour.",
    tags={"domain": "punctuality", "refresh": "hourly"},
    owner=OPERATIONS,
)

aircraft_delays = FeatureView(
    name="aircraft_delays",
    entities=[tailnum],
    ttl=timedelta(days=2),
    schema=[
        Field(name="last_delay", dtype=Float64, description="Last arrival's delay, min"),
        Field(name="aircraft_delay_7d", dtype=Float64, description="Mean arrival delay, 7 days"),
        Field(
            name="aircraft_late_30d", dtype=Float64, description="Share over 15 min late, 30 days"
        ),
        Field(name="legs_1d", dtype=Int64, description="Legs flown from New York, 1 day"),
    ],
    source=source("aircraft_delays", "Rolling statistics, stamped at the aircraft's arrivals."),
    online=True,
    description="How punctual this very aircraft has been, as known at each arrival.",
    tags={"domain": "punctuality", "refresh": "streaming"},
    owner=FLEET,
)

plane_facts = FeatureView(
    name="plane_facts",
    entities=[tailnum],
    ttl=timedelta(days=0),  # no limit: a fact stays true
    schema=[
        Field(name="built", dtype=Int64, description="Year of manufacture"),
        Field(name="seats", dtype=Int64, description="Number of seats"),
        Field(name="engines", dtype=Int64, description="Number of engines"),
        Field(name="manufacturer", dtype=String, description="Manufacturer"),
    ],
    source=source("plane_facts", "The register of aircraft."),
    online=True,
    description="What does not change about an aircraft.",
    tags={"domain": "fleet", "refresh": "yearly"},
    owner=FLEET,
)

flight_plan = RequestSource(
    name="flight_plan",
    schema=[
        Field(name="runway_heading", dtype=Float64, description="Of the planned runway, degrees"),
        Field(name="departure_hour", dtype=Int64, description="Scheduled, New York's clock"),
        Field(name="distance", dtype=Float64, description="To the destination, miles"),
    ],
    description="What only the one who asks knows: the plan of this flight.",
)


@on_demand_feature_view(
    sources=[origin_weather, flight_plan],
    schema=[
        # Without descriptions: with them Feast 0.67 does not find the fields again at apply.
        Field(name="crosswind", dtype=Float64),
        Field(name="headwind", dtype=Float64),
    ],
    mode="pandas",
    description="The wind across and along the planned runway, mph.",
    tags={"domain": "weather", "refresh": "on request"},
    owner=OPERATIONS,
)
def crosswind(inputs: pd.DataFrame) -> pd.DataFrame:
    """Split the wind in two; either end of a runway will do, so only sizes matter."""
    angle = np.radians(inputs["wind_dir"] - inputs["runway_heading"])
    outputs = pd.DataFrame(index=inputs.index)
    outputs["crosswind"] = (inputs["wind_speed"] * np.sin(angle)).abs()
    outputs["headwind"] = (inputs["wind_speed"] * np.cos(angle)).abs()
    return outputs


@on_demand_feature_view(
    sources=[flight_plan],
    schema=[
        Field(name="hours_into_day", dtype=Float64),
        Field(name="flight_miles", dtype=Float64),
    ],
    mode="pandas",
    description="The plan of the flight: hours since 5 am (delays pile up), miles to go.",
    tags={"domain": "schedule", "refresh": "on request"},
    owner=OPERATIONS,
)
def schedule(inputs: pd.DataFrame) -> pd.DataFrame:
    """The first departures leave at five; the rare one after midnight ends the day before."""
    outputs = pd.DataFrame(index=inputs.index)
    outputs["hours_into_day"] = ((inputs["departure_hour"] - 5) % 24).astype("float64")
    outputs["flight_miles"] = inputs["distance"].astype("float64")
    return outputs


arrival_delay_v1 = FeatureService(
    name="arrival_delay_v1",
    features=[
        origin_weather[["temp", "humid", "wind_speed", "precip", "pressure", "visib"]],
        carrier_delays,
    ],
    description="Will the flight be late? What the weather and the carrier's record say.",
    tags={"model": "arrival_delay", "stage": "baseline"},
    owner=OPERATIONS,
)

arrival_delay_v2 = FeatureService(
    name="arrival_delay_v2",
    features=[
        origin_weather[["temp", "humid", "wind_speed", "precip", "pressure", "visib"]],
        carrier_delays,
        aircraft_delays,
        plane_facts[["built", "seats"]],
        crosswind,
        schedule,
    ],
    description="As v1, and the very aircraft, the wind across the runway and the flight's plan.",
    tags={"model": "arrival_delay", "stage": "candidate"},
    owner=OPERATIONS,
)

#: Everything to apply, sources and entities first.
DEFINITIONS = [
    origin,
    carrier,
    tailnum,
    origin_weather,
    carrier_delays,
    aircraft_delays,
    plane_facts,
    crosswind,
    schedule,
    arrival_delay_v1,
    arrival_delay_v2,
]
