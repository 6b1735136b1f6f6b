"""The reference rollup in Polars: its CSV reader with a space as the separator, and the streaming engine."""

import glob
import os

from common import COLUMNS, NUMBERS, THREADS, arguments

os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read when polars is imported
import polars as pl  # noqa: E402

data, out = arguments()


def parameter(name):
    return pl.col("request").str.extract(rf"[?&]{name}=([^& ]*)", 1)


lines = pl.scan_csv(
    sorted(glob.glob(f"{data}/*.gz")),
    separator=" ",
    quote_char='"',
    has_header=False,
    schema={name: pl.Int32 if name in NUMBERS else pl.String for name in COLUMNS},
)
rollup = (
    lines.select(
        pl.col("time").str.slice(0, 16).alias("minute"),
        parameter("e").fill_null("").alias("event"),
        parameter("c").fill_null("").alias("country"),
        "elb_status_code",
        parameter("amt").cast(pl.Float64, strict=False).alias("amt"),
        parameter("uid").alias("uid"),
        pl.col("sent_bytes").cast(pl.Int64),
    )
    .group_by("minute", "event", "country", "elb_status_code")
    .agg(
        pl.len().alias("events"),
        pl.col("amt").sum().alias("amount"),
        pl.col("sent_bytes").sum(),
        pl.col("uid").approx_n_unique().alias("users"),
    )
    .with_columns(pl.col("minute").str.to_datetime("%Y-%m-%dT%H:%M"))
)
rollup.collect(engine="streaming").write_parquet(out, compression="zstd")
