"""What a saved model is known by."""

import pytest

from heedful.allocation.saved_files import MODEL, is_model


def test_a_folder_with_the_description_of_a_model_is_one(tmp_path):
    assert not is_model(tmp_path)
    (tmp_path / MODEL).mkdir()
    assert not is_model(tmp_path)
    (tmp_path / MODEL).rmdir()
    (tmp_path / MODEL).touch()
    assert is_model(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "a\0b", "x" * 5_000])
def test_what_is_no_folder_is_no_model(tmp_path, name):
    assert not is_model(tmp_path / name)
