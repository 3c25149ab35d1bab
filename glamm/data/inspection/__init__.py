"""Reports for people: records as they were read, inventory, statistics, HTML pages, Parquet files."""
