"""The table as Markdown."""

from dataclasses import replace

from hashprobe.report.content import AttackRow
from hashprobe.report.markdown import markdown_table


def test_the_whole_table(rows, number):
    """One snapshot: cells with intervals in brackets, empty cells, each signature once a column."""
    dhta = replace(rows[3], bits_wrong_float=number(1.5, signature="wrong bits|bits:32|v:0.1"))
    table = markdown_table((rows[0], dhta))
    signature = rows[0].tmap.signature
    assert table == (
        "| eps | row | t-MAP, 8 bits | t-MAP, float | ceiling | lift | bits wrong, 8 bits / float "
        "| perceptibility, 8 bits / float | L-inf | MAP | steps |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|\n"
        "|  | Original | 5.1 [3.1, 7.1] |  |  |  |  |  |  | 79.1 [77.1, 81.1] |  |\n"
        "| 8/255 | DHTA | 82.3 [80.3, 84.3] | 83.5 [81.5, 85.5] | 87.4 [85.4, 89.4] "
        "| +77.2 [+75.2, +79.2] | 1.25 / 1.50 | 21.50 | 8/255 | 12.0 [10.0, 14.0] | 2,000 |\n"
        "\n"
        f"- t-MAP, 8 bits: `{signature}`\n"
        f"- t-MAP, float: `{signature}`\n"
        f"- ceiling: `{signature}`\n"
        f"- lift: `{signature}`\n"
        "- bits wrong, 8 bits / float: `wrong bits|bits:32|v:0.1`\n"
        f"- MAP: `{signature}`\n"
    )


def test_rows_without_any_number():
    assert markdown_table([AttackRow("A", "attack", "8/255")]) == (
        "| eps | row |\n|---|---|\n| 8/255 | A |\n\n"
    )
