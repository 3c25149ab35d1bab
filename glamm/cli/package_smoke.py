"""`glamm package smoke`: the check that a Bento answers."""

from pathlib import Path

from rich.console import Console

from glamm.serving.smoke import OVERLAY_FILE
from glamm.serving.smoke import smoke as run_smoke_test
from glamm.text.templates import GROUNDED_CONVERSATION_QUESTIONS


def smoke(
    bento: Path,
    *,
    image: Path,
    question: str = GROUNDED_CONVERSATION_QUESTIONS[0],
    out: Path = Path("build/smoke"),
) -> None:
    """Start a Bento from nothing but its file and send it an image with a question.

    Args:
        bento: The file that `glamm package` wrote.
        image: An image.
        question: What to ask about it.
        out: Folder that gets answer.json and overlay.png.
    """
    result = run_smoke_test(bento, image=image, question=question, out=out)
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    console.print(result.answer.text)
    console.print(
        f"{len(result.answer.phrases)} phrases with masks; ready after {result.start_seconds:.1f} s, "
        f"answered in {result.answer_seconds:.2f} s"
    )
    console.print(f"{result.folder / OVERLAY_FILE}")
