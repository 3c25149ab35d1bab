"""The card of a model folder: what it is, in words that a person reads first."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glamm.config.model import ModelConfig

if TYPE_CHECKING:
    from glamm.checkpoints.convert import Conversion

CARD_FILE = "README.md"


def write_card(
    folder: Path, config: ModelConfig, done: "Conversion", *, origin: Sequence[str]
) -> None:
    """Write README.md.

    Args:
        folder: Of the model.
        config: Its sizes.
        done: Files with their checksums.
        origin: Files that it was made of.
    """
    encoder, language = config.global_encoder, config.language_model
    grounding = config.grounding_encoder
    lines = [
        "# GLaMM",
        "",
        "Talks about an image and gives a segmentation mask for every phrase that it grounds.",
        "",
        "| | |",
        "|---|---|",
        f"| parameters | {done.num_parameters:,} in {done.dtype} |",
        f"| language model | {language.architecture}, {language.num_layers} layers of {language.hidden_size}, {language.vocab_size:,} tokens |",
        f"| global encoder | {encoder.architecture}, {encoder.image_size} px, {encoder.num_layers} layers of {encoder.hidden_size} |",
        f"| grounding encoder | SAM, {grounding.image_size} px, {grounding.num_layers} layers of {grounding.hidden_size} |",
        f"| prompts | {config.prompt_style} |",
        "",
        "| file | bytes | sha256 |",
        "|---|---|---|",
        *(
            f"| {one.path.relative_to(folder)} | {one.num_bytes:,} | {one.sha256} |"
            for one in done.files
        ),
        "",
        "Made of: " + ", ".join(Path(one).name for one in origin) + ".",
    ]
    if done.initialized:
        lines += [
            "",
            f"{len(done.initialized)} tensors are random and must be trained: {', '.join(sorted({name.split('.')[0] for name in done.initialized}))}.",
        ]
    (folder / CARD_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
