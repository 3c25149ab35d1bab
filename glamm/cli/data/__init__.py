"""`glamm data`: read, check, prepare and inspect data sets. Commands are imported when they are called."""

from cyclopts import App

app = App(name="data", help="Read, check, prepare and inspect data sets.")
for _name, _target, _help in (
    ("read", "read:read", "Read a data set and write what was read as JSON."),
    ("doctor", "doctor:doctor", "List the data sets below a folder and their issues."),
    ("prepare", "prepare:prepare", "Check data sets and write shards for training."),
    ("stats", "stats:stats", "Count the objects, phrases and concepts of shards."),
    ("render", "render:render", "Write an HTML page of images with masks and captions."),
    ("export-parquet", "export_parquet:export_parquet", "Write annotations as Parquet for SQL."),
):
    app.command(f"glamm.cli.data.{_target}", name=_name, help=_help)
