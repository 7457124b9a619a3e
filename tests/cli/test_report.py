"""hashprobe report: the page or the table."""


def test_markdown_prints_the_table_and_writes_no_page(hashprobe, run):
    (run / "report.html").unlink()
    said = hashprobe("report", run, "--markdown")
    assert (said.code, said.err) == (0, "")
    assert "| DHTA |" in said.out
    assert not (run / "report.html").exists()


def test_the_page_goes_where_it_is_wanted(hashprobe, run, tmp_path):
    said = hashprobe("report", run, "--out", tmp_path / "page.html", "--examples", 1)
    assert said.out == f"report: {tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_an_attack_that_is_not_there_is_one_line(hashprobe, run):
    assert "there are" in hashprobe("report", run, "--attack", "none").error
