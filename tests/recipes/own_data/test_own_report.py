"""What a report says of own data, as Python and on the command line."""

import json
import subprocess
import sys

from zoo_recipes.own_data.report import inspect_data


def zoo(*arguments):
    command = [sys.executable, "-m", "zoo.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_duplicates_and_leaks_are_counted(tmp_path):
    rows = ["good,1,train", "good,1,train", "good,1,test", "bad,0,train", "so,1,val", ",1,test"]
    path = tmp_path / "t.csv"
    path.write_text("text,label,split\n" + "\n".join(rows), encoding="utf-8")
    report = inspect_data(path)
    assert report.splits == {"train": 3, "validation": 1, "test": 1}
    assert report.split_rule == "the data's own"
    assert report.classes == {
        "0": {"train": 1, "validation": 0, "test": 0},
        "1": {"train": 2, "validation": 1, "test": 1},
    }
    assert report.sizes == {"length": (2, 4, 4, 4)}
    assert (report.duplicates, report.leaks) == (2, 1)
    assert report.problems == ["t.csv:7: column 'text' is empty"]


def test_the_report_on_the_command_line(tmp_path):
    path = tmp_path / "my reviews.csv"
    rows = [f"film {n} is {['bad', 'good'][n % 2]},{n % 2}" for n in range(60)]
    path.write_text("body,mark\n" + "\n".join([*rows, "one,two,three"]), encoding="utf-8")
    shown = zoo("data", path, "--column", "label=mark")
    assert shown.returncode == 0, shown.stderr
    lines = [line.rstrip() for line in shown.stdout.splitlines()]
    assert "holds                60 texts in classes" in lines
    assert "sizes in characters  length 13 to 15, median 14, 95 % up to 15" in lines
    assert "1 problem:" in lines
    assert "  my reviews.csv:62: has 3 columns, not 2" in lines
    assert lines[-1] == (
        f"Next: zoo train language-id-bert --data '{path}' --column label=mark "
        "--on-bad-record report"
    )
    told = json.loads(zoo("data", path, "--column", "label=mark", "--json").stdout)
    assert told["kind"] == "texts in classes"
    assert sum(told["splits"].values()) == 60
    refused = zoo("data", path, "--column", "mark")
    assert refused.returncode == 2
    assert refused.stderr == "error: --column mark is not ROLE=NAME, such as text=review.\n"
