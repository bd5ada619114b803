"""All benchmarks share one command line: no option of one may be another's."""

from __future__ import annotations

import pytest

from tools.benchmarks import __main__ as bench


def test_every_benchmark_adds_its_options_to_one_command_line() -> None:
    modules = bench._loaded(bench.BENCHMARKS)
    assert list(modules) == list(bench.BENCHMARKS)
    options = bench._parser(modules.values()).parse_args(["--all", "--quick", "--links-recipe", "other"])
    assert (options.links_recipe, options.recipe) == ("other", "relay-thinning")


def test_the_list_names_every_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--list"])
    assert bench.main() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(bench.BENCHMARKS)
