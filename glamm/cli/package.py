"""`glamm package`: a Bento with a model and its past inside, and the proof that it answers."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from glamm.text.templates import GROUNDED_CONVERSATION_QUESTIONS

app = App(name="package", help="Make a Bento of a model, and prove that it answers.")


@app.default
def package(
    model: Path,
    out: Path = Path("build/glamm.bento"),
    *,
    reports: Path = Path("data/reports"),
    params: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
) -> None:
    """Pack the service, a model and its past into one file.

    Args:
        model: A model folder, such as data/models/glamm-tiny.
        out: The file to write.
        reports: Holds <name>/report.json of evaluations of this model; they go into the manifest.
        params: A params file; `params.yaml` of the working directory unless given.
        set_: `package.key=value`, any number of times.
    """
    from rich.console import Console  # noqa: PLC0415 - keeps `glamm --help` quick

    from glamm.config.params import load_params  # noqa: PLC0415
    from glamm.serving.bento_build import package as build  # noqa: PLC0415

    packed = build(model, out, load_params(params, set_).package, reports=reports)
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
    size = packed.path.stat().st_size / 2**20
    console.print(f"{packed.tag} in {packed.path} ({size:.1f} MiB)")
    console.print(
        f"BENTOML_HOME={packed.home} bentoml serve {packed.tag}   or: bentoml containerize {packed.tag}"
    )


@app.command
def smoke(
    bento: Path,
    *,
    image: Path,
    question: str = GROUNDED_CONVERSATION_QUESTIONS[0],
    out: Path = Path("build/smoke"),
) -> None:
    """Start a Bento from nothing but its file and ask it about an image.

    Args:
        bento: The file that `glamm package` wrote.
        image: An image.
        question: What to ask about it.
        out: Folder that gets answer.json and overlay.png.
    """
    from rich.console import Console  # noqa: PLC0415

    from glamm.serving.smoke import OVERLAY_FILE  # noqa: PLC0415
    from glamm.serving.smoke import smoke as prove  # noqa: PLC0415

    result = prove(bento, image=image, question=question, out=out)
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    console.print(result.answer.text)
    console.print(
        f"{len(result.answer.phrases)} phrases with masks; ready after {result.start_seconds:.1f} s, "
        f"answered in {result.answer_seconds:.2f} s"
    )
    console.print(f"{result.folder / OVERLAY_FILE}")
