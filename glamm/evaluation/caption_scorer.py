"""Caption metrics of a set of images: METEOR, BLEU, ROUGE-L and CIDEr."""

from collections.abc import Sequence
from pathlib import Path

from glamm.evaluation.java_runtime import find_java
from glamm.evaluation.meteor import Meteor
from glamm.evaluation.metrics.captions import CaptionScores, score_captions
from glamm.evaluation.ptb_tokenizer import tokenize


class CaptionScorer:
    """Scores captions.

    Use as a context manager. METEOR, a process that takes 2 GB of memory, runs inside the `with` block; it loads its
    paraphrases for 8 to 15 s while the block does other work.

    Args:
        java: A program that starts; `from_installed_java` finds it.
    """

    def __init__(self, java: Path) -> None:
        self._java = java
        self._meteor = Meteor(java)

    @classmethod
    def from_installed_java(cls) -> "CaptionScorer":
        """Find a Java and try it, so that a missing one is reported before any long work.

        Raises:
            HostError: No Java starts.
        """
        return cls(find_java())

    def __enter__(self) -> "CaptionScorer":
        self._meteor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._meteor.__exit__()

    def score(
        self, *, references: Sequence[Sequence[str]], candidates: Sequence[str]
    ) -> CaptionScores:
        """Compute all caption metrics.

        Args:
            references: One or more captions for each image.
            candidates: One caption for each image.

        Raises:
            HostError: The tokenizer or METEOR fails, and not because of single captions.
        """
        captions = tokenize(self._java, references=references, candidates=candidates)
        return score_captions(captions, self._meteor.score(captions))
