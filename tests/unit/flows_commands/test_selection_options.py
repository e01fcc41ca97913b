"""Options of a selection, beside a file of settings."""

from __future__ import annotations

from pathlib import Path

from flows import config
from flows.commands.shared.run_options import SelectionOptions


def test_an_option_stands_above_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('of = "photos"\nname = "fruit"\nclass = "banana"\nstrongest = 50\n')
    made = config.make(SelectionOptions(of_class="corn").settings(), str(file))
    assert (made.of, made.of_class, made.strongest) == ("photos", "corn", 50)
