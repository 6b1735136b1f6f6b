"""The reference rollup in Polars: its CSV reader with a space as the separator, and the streaming engine."""

import glob
import os
import sys

from common import COLUMNS, NUMBERS, THREADS, arguments

os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read when polars is imported
import polars as pl  # noqa: E402

variant, data, out = arguments("text", "json", "w3c", "parquet") if len(sys.argv) > 3 else ("text", *arguments())


def parameter(name):
    return pl.col("request").str.extract(rf"[?&]{name}=([^& ]*)", 1)


files = sorted(glob.glob(f"{data}/*.parquet" if variant == "parquet" else f"{data}/*.gz"))
schema = {name: pl.Int32 if name in NUMBERS else pl.String for name in COLUMNS}
match variant:
    case "json":
        names = {"request_line": pl.String, **{name: schema[name] for name in ["time", "elb_status_code", "sent_bytes"]}}
        # Numbers are written as texts.
        texts = dict.fromkeys(names, pl.String)
        lines = pl.scan_ndjson(files, schema=texts).with_columns(pl.col(name).cast(pl.Int32) for name in NUMBERS)
        lines = lines.rename({"request_line": "request"})
    case "w3c":
        lines = pl.scan_csv(files, separator="\t", quote_char=None, has_header=False, skip_lines=2, schema=schema)
        # Of all files but the first, the lines with the names stay.
        lines = lines.filter(~pl.col("type").str.starts_with("#"))
    case "parquet":
        lines = pl.scan_parquet(files).with_columns(pl.col(name).cast(pl.Int32) for name in NUMBERS)
        lines = lines.rename({"request_line": "request"})
    case _:
        lines = pl.scan_csv(files, separator=" ", quote_char='"', has_header=False, schema=schema)
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
