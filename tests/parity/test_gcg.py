"""The release's evaluation of grounded captions and of referring segmentation, case by case."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from glamm.evaluation.caption_scorers import Meteor
from glamm.evaluation.findings import Finding, FindingKind
from glamm.evaluation.gcg.ground_truth import read_truth
from glamm.evaluation.gcg.predictions import pair_with_predictions
from glamm.evaluation.gcg.score import GcgResult, evaluate_gcg
from glamm.evaluation.java_runtime import find_java
from glamm.evaluation.metrics.referring import compare_image, score_compat, score_fixed
from glamm.evaluation.similarity import open_similarity

GOLDENS = Path(__file__).parents[1] / "goldens"
CASES = sorted(path.name for path in (GOLDENS / "gcg_eval").iterdir())
OK = [name for name in CASES if not name.startswith("crash_")]
CRASHES = {
    "crash_missing_prediction_file": (
        FindingKind.MISSING_PREDICTION,
        "sa_111352",
        "if_missing_counts_as_empty",
    ),
    "crash_no_masks_at_all": (FindingKind.NO_MASKS, "*", None),
    "crash_size_mismatch": (FindingKind.SIZE_MISMATCH, "sa_117914", "if_mask_overlaps_nothing"),
}

# Stated with the data. Largest differences seen: 9e-16 for captions, 2e-16 for everything else.
CAPTION_TOLERANCE = 1e-6
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def meteor() -> Iterator[Meteor]:
    """One process for all cases: its start takes ten times as long as a case."""
    with Meteor(find_java()) as running:
        yield running


def _evaluate(name: str, meteor: Meteor) -> tuple[dict[str, Any], GcgResult, list[Finding]]:
    folder = GOLDENS / "gcg_eval" / name
    expected = json.loads((folder / "expected.json").read_text())
    truth, findings = read_truth(folder, expected["split"])
    pairs, noticed = pair_with_predictions(truth.images, folder / "predictions")
    similarity = open_similarity(str(folder / "text_similarity_table.json"))
    result = evaluate_gcg(truth, pairs, similarity, java=find_java(), meteor=meteor)
    return expected, result, [*findings, *noticed, *result.findings]


def _assert_same(found: Any, expected: Any, tolerance: float = TOLERANCE, place: str = "") -> None:
    if isinstance(expected, dict):
        for key, value in expected.items():
            is_caption = key in {"captions", "per_image_captions"}
            narrower = CAPTION_TOLERANCE if is_caption else tolerance
            _assert_same(found[key], value, narrower, f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for index, pair in enumerate(zip(found, expected, strict=True)):
            _assert_same(*pair, tolerance, f"{place}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=tolerance, rel=0), place
    else:
        assert found == expected, place


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", OK)
def test_compat_matches_the_release(name: str, meteor: Meteor) -> None:
    expected, result, _ = _evaluate(name, meteor)
    found = json.loads(json.dumps(result.compat.as_json()))
    swallowed = [
        {key: entry[key] for key in ("image_id", "exception")}
        for entry in expected["detail"].pop("recall_swallowed_errors")
    ]
    ours = [
        {key: entry[key] for key in ("image_id", "exception")}
        for entry in found["detail"].pop("recall_swallowed_errors")
    ]

    _assert_same(found, {key: expected[key] for key in found if key in expected})
    assert ours == swallowed


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", CRASHES)
def test_where_the_release_stops_the_fault_is_named_and_counted(name: str, meteor: Meteor) -> None:
    kind, record, branch = CRASHES[name]

    expected, result, findings = _evaluate(name, meteor)

    recommended = expected["recommended"]
    recommended = recommended[branch] if branch else recommended
    found = result.compat.as_json()
    _assert_same(found, {key: recommended[key] for key in found if key in recommended})
    assert [(one.kind, one.record) for one in findings] == [(kind, record)]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fixed_does_not_depend_on_order_or_names(meteor: Meteor) -> None:
    names = [name for name in OK if name.startswith("order_")]
    base, *others = [_evaluate(name, meteor)[1].fixed for name in names]

    for other in others:
        assert other.five == pytest.approx(base.five, abs=1e-12)
        assert other.coco_stats == pytest.approx(base.coco_stats, abs=1e-12)
        assert other.extra == pytest.approx(base.extra, abs=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fixed_goes_on_where_compat_breaks_off(meteor: Meteor) -> None:
    _, result, _ = _evaluate("phrase_mask_mismatch", meteor)

    assert result.fixed.true_positives > result.compat.true_positives
    assert result.fixed.actual_positives == result.compat.actual_positives


REFERRING = sorted(path.name for path in (GOLDENS / "refseg_eval").iterdir())


@pytest.mark.parametrize("name", REFERRING)
def test_referring_scores_match_the_release(name: str) -> None:
    folder = GOLDENS / "refseg_eval" / name
    expected = json.loads((folder / "expected.json").read_text())
    images = [
        compare_image(_predictions(image), [_target(target) for target in image["gt"]])
        for image in json.loads((folder / "masks.json").read_text())["images"]
    ]

    compat, fixed = score_compat(images), score_fixed(images)

    counts = [[pair.intersection, pair.union] for image in images for pair in image.pairs]
    assert counts == expected["per_pair_intersection_union_foreground"]
    # Seen: 4e-8 (the release's own sums are float32).
    assert compat.giou == pytest.approx(expected["gIoU"], abs=1e-5, rel=0)
    assert compat.ciou == pytest.approx(expected["cIoU"], abs=1e-5, rel=0)
    assert fixed.giou == pytest.approx(expected["float64"]["gIoU"], abs=TOLERANCE, rel=0)
    assert fixed.ciou == pytest.approx(expected["float64"]["cIoU"], abs=TOLERANCE, rel=0)


def _predictions(image: dict[str, Any]) -> list[np.ndarray]:
    if "logits" in image:
        return [np.asarray(logits) > 0 for logits in image["logits"]]
    return [_pixels(code) > 0 for code in image["pred"]]


def _target(target: dict[str, Any]) -> np.ndarray:
    layers = target.get("layers", [target])
    values = target.get("values") or [1] * len(layers)
    return sum(
        _pixels(layer) * np.uint8(value) for layer, value in zip(layers, values, strict=True)
    ).astype(np.uint8)


def _pixels(code: dict[str, Any]) -> np.ndarray:
    return coco.decode({"size": code["size"], "counts": code["counts"].encode()})
