"""`glamm data export-parquet`: annotations for SQL."""

from pathlib import Path

from rich.console import Console

from glamm.data.inspection.parquet import export_annotations


def export_parquet(shards: Path, out: Path) -> None:
    """Write the annotations of shards as Parquet files, to be queried with SQL.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: Gets a folder a split, a file a shard and a row an image; files that are up to date are kept.
    """
    written, kept = export_annotations(shards, out)
    console = Console(stderr=True, soft_wrap=True, markup=False)
    console.print(f"{written} files written, {kept} kept: {out}")
