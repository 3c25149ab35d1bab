"""`glamm evaluate`: the benchmarks of the paper. Commands are imported when they are called."""

from cyclopts import App

app = App(name="evaluate", help="Compute the paper's metrics from a model or from predictions.")
for _name, _help in (
    ("gcg", "Grounded conversation generation: the paper's five metrics."),
    ("refseg", "Referring segmentation: gIoU and cIoU of one mask an expression."),
    ("semseg", "Semantic segmentation: gIoU, cIoU and the IoU of each class."),
):
    app.command(f"glamm.cli.evaluate.{_name}:{_name}", name=_name, help=_help)
