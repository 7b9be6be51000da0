"""What `zoo evaluate` shows of names that break lines."""

from zoo.cli.evaluating import _print
from zoo_recipes.evaluation.results import Evaluation, Group, Groups, find_gaps


def test_a_name_with_a_line_break_stays_in_its_row(capsys):
    groups = tuple(
        Group(name=name, num_examples=200, small=False, metrics={"accuracy": value}, intervals={})
        for name, value in (("north\nand\r\nsouth", 0.5), ("east", 0.75))
    )
    _print(
        Evaluation(
            where="runs/a",
            runtime="keras",
            task="text-classification",
            dataset="a/1.0.0",
            split="test",
            num_examples=400,
            metrics={"accuracy": 0.6},
            intervals={},
            labels=("good\nnews", "bad"),
            per_class={"good\nnews": {"f1": 0.5}, "bad": {"f1": 0.7}},
            class_intervals={"good\nnews": {}, "bad": {}},
            groups=Groups(
                column="shop\nname",
                groups=groups,
                compared=tuple(group.name for group in groups),
                gaps=find_gaps(groups),
                parity={},
            ),
        )
    )
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "EXAMPLES ACCURACY 95 % INTERVAL OF ACCURACY SHOP NAME" in lines
    assert "200 0.5000 north and south" in lines
    assert (
        "0.5000 good news"
        in lines[lines.index("PRECISION RECALL F1 95 % INTERVAL OF F1 CLASS") :][1]
    )
    assert "Gaps between north and south, east:" in lines
    assert "accuracy 0.2500 east north and south" in lines
