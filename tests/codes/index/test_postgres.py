"""The table beyond the contract: other people's tables, lost connections, partitions, the graph."""

import pickle
from threading import Timer

import numpy as np
import pytest

from hashprobe.codes.convention import BitConvention
from hashprobe.codes.index import connection
from hashprobe.codes.index import postgres as module
from hashprobe.codes.index.fake import FakeIndex
from hashprobe.codes.index.postgres import PostgresIndex
from hashprobe.codes.index.table_sql import check_name
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.workflow.served_table import served_table

from .served import ServedIndex, new_address


CODES = PackedCodes.from_signs(np.random.default_rng(0).random((40, 12)) < 0.5)


@pytest.fixture
def admin(postgres, monkeypatch):
    """A second connection to the server."""
    monkeypatch.setattr(connection, "WAITS", (0.0, 0.0, 0.0))
    return postgres[1]


def as_in_memory(index, queries=CODES[:5], k=9):
    """Whether the answers are those of plain numpy."""
    fake = FakeIndex(12)
    fake.add(CODES)
    return all(map(np.array_equal, index.search(queries, k), fake.search(queries, k)))


def kill(admin, index):
    """Ends the connection of an index on the side of the server."""
    pid = index.server.connection.info.backend_pid
    admin.execute("SELECT pg_terminate_backend(%s)", (pid,))


@pytest.mark.parametrize(
    "ids", [range(-20, 20), range(0, 120, 3), [f"{i:02d}.jpg" for i in range(40)]]
)
def test_a_table_of_somebody_else_is_searched_by_the_order_of_its_ids(ids, admin):
    address = new_address("theirs")
    name = address.split("?")[0].rpartition("/")[2]
    kind = "text" if isinstance(ids, list) else "int"
    admin.execute(f'CREATE TABLE "{name}" ("the id" {kind}, h bit(12))')
    rows = list(zip(ids, module.bit_strings(CODES), strict=True))
    for place in np.random.default_rng(1).permutation(40):
        admin.execute(f'INSERT INTO "{name}" VALUES (%s, %s::bit(12))', rows[place])
    index = PostgresIndex.open(address + "&codes=h&id=the%20id")
    assert as_in_memory(index) and as_in_memory(index, k=40)
    with pytest.raises(HashprobeError, match=r"only added where ids are 0, 1, 2"):
        index.add(CODES)
    with pytest.raises(HashprobeError, match=r"hashprobe did not make|read-only"):
        index.drop()
    index.close()


def test_a_lost_connection_is_opened_again(admin):
    index = ServedIndex(12)
    index.add(CODES)
    kill(admin, index)
    assert as_in_memory(index)
    kill(admin, index)
    index.add(CODES[:3])
    assert len(index) == 43


def test_a_load_that_is_cut_off_is_repeated_whole(admin, monkeypatch):
    index, real, sent = ServedIndex(12), module.binary_rows, []
    monkeypatch.setattr(module, "BATCH", 7)

    def cut(codes, start, items):
        sent.append(start)
        if len(sent) in (3, 7):
            kill(admin, index)
        return real(codes, start, items)

    monkeypatch.setattr(module, "binary_rows", cut)
    index.add(CODES, [f"{i}\0é" for i in range(40)])
    assert sent.count(0) == 3 and as_in_memory(index)
    table = index.server.address.table[-1]
    assert admin.execute(f'SELECT item FROM "{table}" WHERE id = 8').fetchone() == ("8é",)
    monkeypatch.setattr(module, "binary_rows", lambda *_: kill(admin, index) or b"")
    with pytest.raises(HashprobeError, match="no connection in 3 tries") as caught:
        index.add(CODES)
    assert "\n" not in str(caught.value) and len(index) == 40
    assert admin.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (40,)


def test_a_search_that_is_cut_off_is_repeated(admin, monkeypatch):
    """The server ends the connection while a statement runs: twice, then each time."""
    index, real, asked, cut_off = ServedIndex(12), PostgresIndex.ask, [], {2, 4}
    index.add(CODES)
    monkeypatch.setattr(module, "TOGETHER", 2)

    def ask(self, connection, texts, k, exact):
        asked.append(texts)
        if len(asked) in cut_off:
            Timer(0.05, kill, (admin, self)).start()
            connection.execute("SELECT pg_sleep(30)")
        return real(self, connection, texts, k, exact)

    monkeypatch.setattr(PostgresIndex, "ask", ask)
    assert as_in_memory(index)  # five queries: three searches, of which two are repeated
    assert len(asked) == 5 and asked[1] == asked[2] and asked[3] == asked[4]
    cut_off.update(range(100))
    with pytest.raises(HashprobeError, match="no connection in 3 tries") as caught:
        index.search(CODES[:2], 3)
    assert "\n" not in str(caught.value)


def test_a_commit_whose_answer_was_lost_is_not_repeated(admin):
    index = ServedIndex(12)
    index.add(CODES)
    index.size = 0  # as if the first try had ended without an answer
    index.add(CODES)
    assert len(index) == 40 and as_in_memory(index)
    index.size = 7
    with pytest.raises(HashprobeError, match="somebody else changed it meanwhile"):
        index.add(CODES[:2])


def test_partitions_hold_ranges_of_ids(admin):
    index = ServedIndex(12, partition=15)
    index.add(CODES[:20])
    index.add(CODES[20:])
    table = index.server.address.table[-1]
    counts = [admin.execute(f'SELECT count(*) FROM "{table}_p{i}"').fetchone()[0] for i in range(3)]
    assert counts == [15, 15, 10] and as_in_memory(index, k=40)


def test_the_graph_is_measured_and_never_used_for_an_exact_search(admin):
    rng = np.random.default_rng(2)
    codes = PackedCodes.from_signs(rng.random((2000, 64)) < 0.5)
    index, fake = ServedIndex(64), FakeIndex(64)
    index.add(codes)
    fake.add(codes)
    index.build_hnsw()
    assert all(map(np.array_equal, index.search(codes[:9], 30), fake.search(codes[:9], 30)))
    near, _ = index.search(codes[:9], 10, exact=False)
    assert (near[:, 0] == 0).all() and (np.diff(near, axis=1) >= 0).all()
    right = (near <= fake.search(codes[:9], 10)[0][:, -1:]).mean()
    assert index.recall(codes[:9], 10) == pytest.approx(right) and right > 0.3
    with pytest.raises(HashprobeError, match="links must be at most 100"):
        index.build_hnsw(links=101)


def test_tables_that_do_not_fit_are_one_line(admin):
    address = new_address("odd")
    name = address.split("?")[0].rpartition("/")[2]
    with pytest.raises(HashprobeError, match="column 'code' is missing"):
        PostgresIndex.open(address)
    admin.execute(f'CREATE TABLE "{name}" (id int, code bytea, b bit(8))')
    for more, words in (
        ("", "is of type bytea; a search needs bit"),
        ("&codes=none", "is missing"),
    ):
        with pytest.raises(HashprobeError, match=words):
            PostgresIndex.open(address + more)
    with pytest.raises(HashprobeError, match="holds codes of 8 bits, not of 9"):
        PostgresIndex(9, address + "&codes=b")
    with pytest.raises(HashprobeError, match="at most 50 bytes"):
        PostgresIndex(8, new_address("x" * 60))
    with pytest.raises(HashprobeError, match="2 items for 40 codes"):
        ServedIndex(12).add(CODES, ["a", "b"])


def test_ids_that_repeat_are_refused(admin):
    address = new_address("twice")
    name = address.split("?")[0].rpartition("/")[2]
    admin.execute(f'CREATE TABLE "{name}" (id int, code bit(8))')
    admin.execute(f"INSERT INTO \"{name}\" VALUES (0, B'00000000'), (0, B'11111111')")
    with pytest.raises(HashprobeError, match="ids of column 'id' repeat"):
        PostgresIndex.open(address)
    assert served_table(address, BitConvention()) is None  # searched in memory


def test_long_names_are_counted_in_bytes():
    check_name("a" * 50, 50)
    with pytest.raises(HashprobeError, match="at most 50 bytes of UTF-8"):
        check_name("я" * 26, 50)


def test_names_are_quoted(admin):
    odd = 'b"; DROP TABLE kept; --'
    admin.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
    path = odd.replace('"', "%22").replace(" ", "%20").replace(";", "%3B")
    index = ServedIndex(12, new_address(path), partition=25)
    index.add(CODES)
    assert as_in_memory(index)
    admin.execute("SELECT * FROM kept")


def test_another_process_gets_no_password_and_its_own_connection(admin):
    index = ServedIndex(12)
    index.add(CODES)
    index.server.address.server["password"] = "s3cret"
    sent = pickle.dumps(index)
    assert b"s3cret" not in sent and index.server.address.server["password"] == "s3cret"
    again = pickle.loads(sent)
    assert as_in_memory(again)
    again.close()


def test_a_password_is_in_no_message_and_no_name(monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setattr(connection, "WAITS", (0.0,))
    for make in (lambda where: PostgresIndex(8, where), PostgresIndex.open):
        with pytest.raises(HashprobeError) as error:
            make("postgresql://me:s3cret@127.0.0.1:1/db/items")
        assert "s3cret" not in f"{error.value!r} {error.value.__cause__!r}"
        assert "items at 127.0.0.1:1/db: no connection in 1 tries" in str(error.value)
