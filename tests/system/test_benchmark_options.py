"""All benchmarks share one command line: no option of one may be another's."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from common.errors import Misconfigured
from tools.benchmarks import __main__ as bench
from tools.benchmarks import placement


def test_every_benchmark_adds_its_options_to_one_command_line() -> None:
    modules = bench._loaded(bench.BENCHMARKS)
    assert list(modules) == list(bench.BENCHMARKS)
    options = bench._parser(modules.values()).parse_args(["--all", "--quick", "--links-recipe", "other"])
    assert (options.links_recipe, options.recipe) == ("other", "relay-thinning")


def test_paths_are_meant_from_where_the_caller_is(tmp_path: Path) -> None:
    given = {"one": Path("brk"), "far": Path("/brk"), "more": [Path("a"), Path("b")], "none": None, "n": 3}
    options = argparse.Namespace(**given)
    bench._resolve(options, tmp_path)
    assert (options.one, options.far) == (tmp_path / "brk", Path("/brk"))
    assert (options.more, options.none, options.n) == ([tmp_path / "a", tmp_path / "b"], None, 3)


def test_a_broken_instance_is_told_with_its_file(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("[]")
    for path, word in ((broken, "an instance is a JSON object"), (tmp_path / "gone.json", "cannot be read")):
        with pytest.raises(Misconfigured, match=word) as caught:
            placement.instance_in(path)
        assert str(path) in str(caught.value)


def test_the_list_names_every_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--list"])
    assert bench.main() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(bench.BENCHMARKS)
