"""`glamm ground`: ask a model about an image."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from glamm.config.dtype import DTypeName
from glamm.errors import RequestError
from glamm.files import replacing
from glamm.geometry.palette import color_of
from glamm.inference.answer import Answer
from glamm.inference.answer_json import answer_to_json
from glamm.inference.engine_options import DEFAULT_MAX_NEW_TOKENS
from glamm.inference.image_io import read_image


def ground(  # noqa: PLR0913 - what to ask, which model, where it runs, and what to write
    image: Path,
    question: str,
    *,
    model: Path = Path("data/models/glamm-tiny"),
    device: str = "auto",
    dtype: DTypeName | None = None,
    box: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Answer with text, and a table of the grounded phrases.

    Args:
        image: An image file.
        question: Plain text; `<bbox>` may stand where each box is meant.
        model: A model folder.
        device: auto (the first CUDA GPU if there is one, else the CPU), cpu, cuda or cuda:1.
        dtype: Type in which the weights are held and used; that of the model folder by default.
        box: x1,y1,x2,y2 in pixels of the upright image, any number of times.
        max_new_tokens: Limit of the answer's length.
        out: Image to write, with the masks drawn on it; PNG or JPEG by its name.
        json: Print the answer as JSON, masks as COCO run-length codes.
    """
    boxes = [_parse_box(text) for text in box]
    if out is not None:
        _check_output(out, image)
    pixels = read_image(image)

    from glamm.inference.predictor import GroundedPredictor  # noqa: PLC0415 - loads torch, seconds after a bad request was refused

    predictor = GroundedPredictor.from_checkpoint(model, device=device, dtype=dtype)
    answer = predictor.ground(pixels, question, boxes=boxes, max_new_tokens=max_new_tokens)
    if out is not None:
        with replacing(out) as unfinished:
            answer.overlay().save(unfinished, format=_format(out))
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    if json:
        console.print(answer_to_json(answer).model_dump_json(indent=2), markup=False)
        return
    console.print(_colored_text(answer))
    if answer.phrases:
        console.print(_table(answer))
    else:
        console.print("nothing was grounded", style="dim")
    if answer.finish_reason == "length":
        console.print(
            f"stopped after {len(answer.token_ids)} tokens: the limit was reached",
            style="yellow",
        )
    if out is not None:
        console.print(str(out), markup=False)


def _parse_box(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in text.split(","))
    except ValueError as error:
        raise RequestError(f"--box {text}: write four numbers as x1,y1,x2,y2") from error


def _check_output(out: Path, image: Path) -> None:
    """Make sure that the image can be written before the model works for it."""
    if _format(out) not in {"PNG", "JPEG", "WEBP"}:
        raise RequestError(f"--out {out}: the name must end in .png, .jpg or .webp")
    if out.exists() and image.exists() and out.samefile(image):
        raise RequestError(f"--out {out}: is the image itself; name another file")
    out.parent.mkdir(parents=True, exist_ok=True)


def _format(out: Path) -> str | None:
    """Pillow's name of the format that a file's name stands for."""
    return Image.registered_extensions().get(out.suffix.lower())


def _colored_text(answer: Answer) -> Text:
    """The answer's text, each phrase in the color of its mask in the overlay."""
    text = Text(answer.text or "(no words)")
    for index, phrase in enumerate(answer.phrases):
        red, green, blue = color_of(index)
        text.stylize(f"bold #{red:02x}{green:02x}{blue:02x}", phrase.start, phrase.end)
    return text


def _table(answer: Answer) -> Table:
    table = Table("", "phrase", "box (x1, y1, x2, y2)", "score", "area")
    height, width = answer.image_size
    for number, (phrase, mask) in enumerate(
        zip(answer.phrases, answer.masks, strict=True), start=1
    ):
        box = ", ".join(f"{value:g}" for value in phrase.box) if phrase.box else "empty mask"
        share = mask.sum() / (height * width)
        table.add_row(
            str(number),
            Text(phrase.text or "(no words)"),
            box,
            f"{phrase.score:.2f}",
            f"{share:.1%}",
        )
    return table
