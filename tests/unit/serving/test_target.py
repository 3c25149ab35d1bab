"""Which code `glamm serve` starts."""

from pathlib import Path

import pytest

import glamm
from glamm.errors import ConfigError
from glamm.serving import bento_build
from glamm.serving.bento_build import find_source
from glamm.serving.target import choose_target


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_code_is_that_of_the_installation(model, elsewhere, tmp_path):
    target = choose_target(model, scratch=tmp_path / "scratch")

    assert target.folder == Path(glamm.__file__).parents[1]
    assert target.environment["GLAMM_MODEL"] == str(model)


def test_wheel_serves_but_does_not_pack(model, elsewhere, tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    monkeypatch.setattr(bento_build, "glamm_file", str(site / "glamm" / "__init__.py"))

    assert choose_target(model, scratch=tmp_path / "scratch").folder == site
    with pytest.raises(ConfigError, match=r"no bentofile\.yaml here: run this in a checkout"):
        find_source()


def test_checkout_in_the_working_directory_is_preferred(model, elsewhere, tmp_path):
    (elsewhere / "glamm").mkdir()
    (elsewhere / "bentofile.yaml").write_text("")

    assert choose_target(model, scratch=tmp_path / "scratch").folder == elsewhere
