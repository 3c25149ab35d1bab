"""From records to training shards: check, normalize, write block by block."""
