"""Progress without a terminal."""

from hashprobe.cli import terminal as screen


def test_off_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):

    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    terminal = screen.Terminal()
    terminal.log("[bold] stands as it is")
    with terminal.bar("steps") as tick:
        # 40 of 100 were finished before; 10 more take 31 s.
        tick(40, 100)
        for done, seconds in ((41, 3), (50, 28), (51, 3), (60, 28)):
            now[0] += seconds
            tick(done, 100)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "[bold] stands as it is",
        "steps: 50/100, 155 s left",
        "steps: 60/100, 124 s left",
    ]
