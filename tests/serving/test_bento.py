"""The Bento as a user gets it: built, exported, imported into an empty store, started, and sent a request."""

import gc
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from glamm.config.package import PackageConfig
from glamm.errors import CheckpointError, HostError, RequestError
from glamm.serving.bento_build import PackedBento, bentoml_environment, package
from glamm.serving.bento_process import running_service
from glamm.serving.smoke import smoke
from glamm.serving.target import choose_target
from glamm.subprocesses import free_port
from tests.builders.memorized import LINEAGE, QUESTION, WORDS, draw_image
from tests.builders.reports import gcg_report

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(300)]

REPORT = gcg_report()


@pytest.fixture(scope="module")
def packed(memorized_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PackedBento:
    folder = tmp_path_factory.mktemp("package")
    REPORT.save(folder / "reports" / "val" / "report.json")
    out = folder / "build" / "glamm.bento"
    config = PackageConfig(labels={"team": "tests"}, device="cpu", dtype="bfloat16")
    return package(memorized_model, out, config, reports=folder / "reports", home=folder / "home")


def test_bento_contains_model_and_lineage_and_nothing_of_training(packed):
    with tarfile.open(packed.path) as bento:
        names = {name.removeprefix("./") for name in bento.getnames()}
        manifest = json.load(bento.extractfile("./src/manifest.json"))
        settings = json.load(bento.extractfile("./src/settings.json"))

    assert {
        "src/model/model.safetensors",
        "src/model/tokenizer.model",
        "src/model/lineage.json",
    } <= names
    assert "src/glamm/serving/ui/index.html" in names
    assert "env/docker/Dockerfile" in names
    forbidden = ("training", "evaluation", "data", "synthetic", "tracking", "cli")
    assert not [
        name for name in names if name.startswith(tuple(f"src/glamm/{part}" for part in forbidden))
    ]
    assert manifest["lineage"] == LINEAGE.as_json()
    assert manifest["reports"] == {"val": REPORT.as_json()}
    assert settings == {"device": "cpu", "dtype": "bfloat16", "timeout": 120}
    assert packed.tag == f"glamm-service:{manifest['version']}"


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # BentoML's client leaves its folder to the collector
def test_exported_bento_answers_from_an_empty_store(packed, tmp_path):
    draw_image().save(tmp_path / "image.png")

    result = smoke(
        packed.path, image=tmp_path / "image.png", question=QUESTION, out=tmp_path / "out"
    )

    assert result.answer.text == WORDS
    # The version is in the manifest inside the Bento: its own code and model answered, not the checkout's.
    assert result.answer.model_version == packed.manifest.version
    assert json.loads((tmp_path / "out" / "answer.json").read_text())["text"] == WORDS
    with Image.open(tmp_path / "out" / "overlay.png") as overlay:
        assert overlay.width >= 320
    gc.collect()


def test_service_that_cannot_start_gives_the_reason(memorized_model, tmp_path):
    broken = tmp_path / "model"
    broken.mkdir()
    for path in memorized_model.iterdir():
        (broken / path.name).write_bytes(
            path.read_bytes()[:-1] if path.suffix == ".safetensors" else path.read_bytes()
        )
    target = choose_target(broken, scratch=tmp_path)

    with (
        pytest.raises(HostError, match="it was truncated or replaced"),
        running_service(
            target.name,
            folder=target.folder,
            environment=target.environment,
            port=free_port(),
            scratch=tmp_path,
        ),
    ):
        pass


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        choose_target(tmp_path, scratch=tmp_path)


def test_damaged_model_is_not_packed(memorized_model, tmp_path):
    broken = tmp_path / "model"
    broken.mkdir()
    for path in memorized_model.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "model.safetensors").write_bytes(b"half")

    with pytest.raises(CheckpointError, match="has 4 bytes"):
        package(
            broken, tmp_path / "x.bento", PackageConfig(), reports=tmp_path, home=tmp_path / "home"
        )
    assert not (tmp_path / "x.bento").exists()


def test_file_that_is_no_bento_is_refused(tmp_path):
    image = tmp_path / "image.png"
    draw_image().save(image)

    with pytest.raises(RequestError, match="no such Bento"):
        smoke(tmp_path / "none.bento", image=image, question=QUESTION, out=tmp_path)
    with pytest.raises(HostError, match="bentoml import"):
        smoke(image, image=image, question=QUESTION, out=tmp_path)


def test_environment_of_bentoml_has_our_store_and_no_pythonpath(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")

    environment = bentoml_environment(Path("/store"))

    assert environment["BENTOML_HOME"] == "/store"
    assert "PYTHONPATH" not in environment
