import pytest

from glamm.errors import ConfigError
from glamm.serving.settings import SETTINGS_FILE, ServiceSettings


@pytest.fixture
def bento(tmp_path):
    packed = ServiceSettings(device="cpu", dtype="bfloat16")
    (tmp_path / SETTINGS_FILE).write_text(packed.model_dump_json())
    return tmp_path


def test_a_checkout_has_the_defaults(tmp_path):
    assert ServiceSettings.read(tmp_path, {}) == ServiceSettings(
        device="auto", dtype=None, timeout=120
    )


def test_a_bento_has_the_packed_settings(bento):
    assert ServiceSettings.read(bento, {}).dtype == "bfloat16"


def test_variables_override_what_was_packed(bento):
    settings = ServiceSettings.read(bento, {"GLAMM_DTYPE": "float32", "GLAMM_TIMEOUT": "900"})

    assert settings == ServiceSettings(device="cpu", dtype="float32", timeout=900)


def test_only_given_settings_become_variables():
    assert ServiceSettings(timeout=900).as_environment() == {"GLAMM_TIMEOUT": "900"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("GLAMM_DTYPE", "float8", id="unknown type"),
        pytest.param("GLAMM_TIMEOUT", "0", id="no time"),
        pytest.param("GLAMM_TIMEOUT", "soon", id="not a number"),
    ],
)
def test_an_error_names_the_variable(tmp_path, variable, value):
    with pytest.raises(ConfigError, match=f"{variable}={value}"):
        ServiceSettings.read(tmp_path, {variable: value})
