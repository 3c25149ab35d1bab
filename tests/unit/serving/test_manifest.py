import subprocess

import pytest

from glamm.checkpoints import save_model
from glamm.config.params import load_params
from glamm.errors import CheckpointError, ConfigError, DataError
from glamm.serving.manifest import compose_manifest, content_version
from glamm.structures.lineage import Lineage
from tests.builders.models import build_model
from tests.builders.reports import gcg_report


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(build_model(), folder, tokenizer_model=b"", lineage=Lineage(run_id="abc"))
    return folder


def test_manifest_gathers_lineage_reports_and_revision(model, tmp_path):
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    report = gcg_report()
    report.save(tmp_path / "reports" / "val" / "report.json")

    manifest = compose_manifest(model, reports=tmp_path / "reports", source=tmp_path, version="v")

    assert manifest.lineage == Lineage(run_id="abc")
    assert manifest.reports == {"val": report}
    assert manifest.git.is_clean
    assert len(manifest.git.revision) == 40
    assert manifest.version == "v"


def test_manifest_outside_a_repository_has_no_revision(model, tmp_path):
    manifest = compose_manifest(model, reports=tmp_path / "none", source=tmp_path)

    assert manifest.git is None
    assert manifest.reports == {}
    assert manifest.version.startswith("unpacked-")


@pytest.mark.parametrize("text", ["{", "[]", "{}"], ids=["broken", "list", "empty"])
def test_report_that_cannot_be_read_is_named(model, tmp_path, text):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "report.json").write_text(text)

    with pytest.raises(DataError, match=r"val/report\.json[:,] "):
        compose_manifest(model, reports=tmp_path, source=tmp_path)


def test_folder_without_lineage_is_named(model, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((model / name).read_bytes())

    with pytest.raises(CheckpointError, match=r"lineage\.json: cannot be read"):
        compose_manifest(tmp_path, reports=None, source=tmp_path)


def test_version_depends_on_content_and_paths_only(tmp_path):
    versions = []
    for root, names, content in (
        ("a", "xy", "1"),
        ("b", "yx", "1"),
        ("c", "xy", "2"),
        ("d", "xz", "1"),
    ):
        folder = tmp_path / root
        folder.mkdir()
        for name in names:
            (folder / name).write_text(content)
        versions.append(content_version(folder, folder.iterdir()))

    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


@pytest.mark.parametrize(
    "name", ["glamm", "Big", "a b", ""], ids=["module", "case", "blank", "empty"]
)
def test_name_that_bentoml_would_misread_is_refused(name):
    with pytest.raises(ConfigError, match=r"package\.name"):
        load_params(None, [f"package.name='{name}'"])
