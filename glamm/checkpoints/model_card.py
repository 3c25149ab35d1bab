"""The model card: README.md of a converted model folder."""

from collections.abc import Sequence
from pathlib import Path

from glamm.checkpoints.tensor_file import WrittenFile
from glamm.config.model import ModelConfig
from glamm.files import write_text

CARD_FILE = "README.md"


def write_card(
    folder: Path,
    config: ModelConfig,
    *,
    num_parameters: int,
    dtype: str,
    files: Sequence[WrittenFile],
    sources: Sequence[Path],
    initialized: Sequence[str],
) -> None:
    """Write README.md.

    Args:
        folder: The model folder.
        config: The model's sizes.
        num_parameters: Of the whole model.
        dtype: Name of the weights' type.
        files: The weight files in the folder.
        sources: The files that the weights come from.
        initialized: Names of tensors with random values.
    """
    encoder, language = config.global_encoder, config.language_model
    grounding = config.grounding_encoder
    lines = [
        "# GLaMM",
        "",
        "Answers questions about an image with text, and gives a segmentation mask for every grounded phrase.",
        "",
        "| | |",
        "|---|---|",
        f"| parameters | {num_parameters:,} in {dtype} |",
        f"| language model | {language.architecture}, {language.num_layers} layers of {language.hidden_size}, {language.vocab_size:,} tokens |",
        f"| global encoder | {encoder.architecture}, {encoder.image_size} px, {encoder.num_layers} layers of {encoder.hidden_size} |",
        f"| grounding encoder | SAM, {grounding.image_size} px, {grounding.num_layers} layers of {grounding.hidden_size} |",
        f"| prompts | {config.prompt_style} |",
        "",
        "| file | bytes | sha256 |",
        "|---|---|---|",
        *(
            f"| {file.path.relative_to(folder)} | {file.num_bytes:,} | {file.sha256} |"
            for file in files
        ),
        "",
        "Converted from: " + ", ".join(source.name for source in sources) + ".",
    ]
    if initialized:
        parts = ", ".join(sorted({name.split(".")[0] for name in initialized}))
        lines += [
            "",
            f"{len(initialized)} tensors have random values and must be trained: {parts}.",
        ]
    write_text(folder / CARD_FILE, "\n".join(lines) + "\n")
