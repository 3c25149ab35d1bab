"""From shards to batches: which samples a step holds, and what becomes of them."""
