"""Parsing that readers and the evaluator share: JSON, COCO, LMDB, pickles, paths."""
