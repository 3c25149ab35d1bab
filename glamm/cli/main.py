"""The root of the command line: finds the command, and turns expected failures into one line."""

from cyclopts import App

from glamm import __version__
from glamm.cli.data import app as data
from glamm.cli.evaluate import app as evaluate
from glamm.command_line import run_command_line

app = App(
    name="glamm",
    help="The factory around GLaMM: data, training, evaluation, packaging, service.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` reports the interruption
)
app.command(data)
app.command(evaluate)
# A command is imported when it is called: `glamm --help` needs neither torch nor BentoML.
for _name, _target, _help in (
    ("synth", "synth:synth", "Generate a data set of scenes with exact masks."),
    ("train", "train:train", "Train a model on shards and write its model folder."),
    ("ground", "ground:ground", "Ask a model about an image: text, and a mask for each phrase."),
    ("conformance", "conformance:conformance", "Compare this installation with the release."),
    ("convert", "convert:convert", "Convert weights into our layout or the release's."),
    ("checkpoint", "checkpoint:app", "Describe or verify a model folder."),
    ("package", "package:app", "Build a Bento of a model, and check that it answers."),
    ("serve", "serve:serve", "Start the service and its page."),
    ("report", "report:report", "Show the results of the last pipeline run."),
):
    app.command(f"glamm.cli.{_target}", name=_name, help=_help)


def main() -> None:
    """Run the command line; an expected failure prints one line and ends with its exit code."""
    run_command_line(lambda: app(exit_on_error=False, print_error=True))
