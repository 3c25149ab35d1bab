"""Grounded conversation generation: METEOR, CIDEr, AP50, mIoU and mask recall.

| module | holds |
|---|---|
| `ground_truth`, `predictions` | reading the files of both |
| `generate` | running a model on a split |
| `score` | all metrics, in both modes |
| `report` | the report, its Markdown and its faults |
| `examples` | the best and the worst answer |
| `overlays` | images of the report |
| `evaluate_folder`, `evaluate_model` | the two complete evaluations |
"""
