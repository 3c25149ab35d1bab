"""The graph of stages in dvc.yaml."""

from pathlib import Path

import pytest

from flows.graph import read_graph, select
from glamm.errors import ConfigError

# DVC's own use of pygtrie
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")

GRAPH = {
    "synth": (),
    "train": ("synth",),
    "evaluate@val": ("train",),
    "evaluate@test": ("train",),
    "package": ("evaluate@val", "train"),
}


def test_graph_has_every_stage_after_what_it_needs(repository: Path):
    graph = read_graph(repository)

    assert graph == {"synth": (), "train": ("synth",), "evaluate@val": ("train",)}
    assert list(graph) == ["synth", "train", "evaluate@val"]


def test_graph_leaves_out_files_that_are_only_data(repository: Path):
    (repository / "photo.jpg.dvc").write_text(
        "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: photo.jpg\n"
    )

    assert list(read_graph(repository)) == ["synth", "train", "evaluate@val"]


def test_error_of_dvc_yaml_is_named(repository: Path):
    (repository / "dvc.yaml").write_text("stages:\n  train:\n    cmd: [unclosed\n")

    with pytest.raises(ConfigError, match=r"dvc\.yaml"):
        read_graph(repository)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([], list(GRAPH)),
        (["train"], ["synth", "train"]),
        (["evaluate"], ["synth", "train", "evaluate@val", "evaluate@test"]),
        (["evaluate@val", "synth"], ["synth", "train", "evaluate@val"]),
        (["package"], ["synth", "train", "evaluate@val", "package"]),
    ],
    ids=["all", "one", "all-instances", "one-instance", "last"],
)
def test_select_keeps_the_targets_and_what_they_need(targets: list[str], expected: list[str]):
    assert list(select(GRAPH, targets)) == expected


def test_select_names_the_known_stages_when_a_target_is_unknown():
    with pytest.raises(ConfigError, match=r"no stage 'trian'.*synth, train, evaluate@val"):
        select(GRAPH, ["trian"])
