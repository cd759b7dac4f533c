from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.leases import Leases, Lost
from inspection.wire import RecordKey

A, B = b"a", b"b"


def key(sequence: int, kind: str = "record") -> RecordKey:
    return RecordKey(kind, "camera", "session", sequence)


def leases(*records: int) -> Leases:
    made = Leases(lease_s=10.0, heartbeat_s=1.0, tries=3)
    for sequence in records:
        made.add(key(sequence))
    return made


def test_a_record_goes_only_to_a_worker_with_credit() -> None:
    it = leases(0, 1, 2)
    it.hello(A, "a", (), now=0)
    assert it.next(now=0) is None
    it.credit(A, 2)
    assert it.next(now=0) == (A, key(0))
    assert it.next(now=0) == (A, key(1))
    assert it.next(now=0) is None


def test_the_worker_with_fewest_in_hand_is_served_first() -> None:
    it = leases(*range(6))
    it.hello(A, "a", (), now=0)
    it.hello(B, "b", (), now=0)
    it.credit(A, 5)
    assert it.next(now=0) == (A, key(0))
    assert it.next(now=0) == (A, key(1))
    it.credit(B, 5)
    assert [it.next(now=0)[0] for _ in range(4)] == [B, B, A, B]


def test_workers_alike_take_turns() -> None:
    it = leases(*range(6))
    for peer in (A, B):
        it.hello(peer, peer.decode(), (), now=0)
        it.credit(peer, 10)
    for sequence in range(6):
        peer, given = it.next(now=0)
        assert (peer, given) == ((A, B)[sequence % 2], key(sequence))
        it.done(given)


def test_counts_go_first_and_the_rest_oldest_first() -> None:
    it = leases(3, 1)
    it.add(key(9, "capture"))
    it.add(key(2))
    it.hello(A, "a", (), now=0)
    it.credit(A, 9)
    assert [it.next(now=0)[1] for _ in range(4)] == [key(9, "capture"), key(3), key(1), key(2)]


def test_what_a_leaving_worker_had_goes_to_another_in_the_old_order() -> None:
    it = leases(0, 1, 2)
    it.hello(A, "a", (), now=0)
    it.credit(A, 2)
    it.next(now=0)
    it.next(now=0)
    it.hello(B, "b", (), now=0)
    it.credit(B, 3)
    assert it.leave(A) == 2
    assert [it.next(now=0) for _ in range(3)] == [(B, key(0)), (B, key(1)), (B, key(2))]


def test_five_silent_heartbeats_mean_gone() -> None:
    it = leases(0)
    it.hello(A, "a", (), now=0)
    it.credit(A, 1)
    it.next(now=0)
    assert it.expire(now=5.0) == []
    assert it.expire(now=5.1) == [Lost("a", True, 1)]
    assert not it.heard(A, now=5.2)
    assert it.peers == []


def test_a_sign_of_life_keeps_a_worker() -> None:
    it = leases()
    it.hello(A, "a", (), now=0)
    assert it.heard(A, now=4.0)
    assert it.expire(now=8.0) == []


def test_a_record_whose_lease_is_over_goes_to_another_worker_and_not_down_the_same_connection() -> None:
    it = leases(0)
    it.hello(A, "a", (), now=0)
    it.credit(A, 5)
    assert it.next(now=0) == (A, key(0))
    it.heard(A, now=10)
    assert it.expire(now=10.0) == [Lost("a", False, 1)]
    assert it.next(now=10) is None
    it.hello(B, "b", (), now=10)
    it.credit(B, 1)
    assert it.next(now=10) == (B, key(0))


def test_a_late_done_counts() -> None:
    it = leases(0)
    it.hello(A, "a", (), now=0)
    it.credit(A, 1)
    it.next(now=0)
    it.heard(A, now=10)
    it.expire(now=10)
    it.done(key(0))
    it.hello(B, "b", (), now=10)
    it.credit(B, 1)
    assert it.next(now=10) is None


def test_a_worker_on_a_new_connection_keeps_what_it_holds_and_no_more() -> None:
    it = leases(0, 1, 2)
    it.hello(A, "a", (), now=0)
    it.credit(A, 2)
    it.next(now=0)
    it.next(now=0)
    it.hello(B, "a", (key(1), key(77)), now=1)
    assert it.peers == [B]
    assert it.leased == 1
    it.credit(B, 5)
    assert [it.next(now=1) for _ in range(3)] == [(B, key(0)), (B, key(2)), None]


def test_saying_hello_again_forgets_the_credit() -> None:
    it = leases(0)
    it.hello(A, "a", (), now=0)
    it.credit(A, 3)
    it.hello(A, "a", (), now=0)
    assert it.next(now=0) is None


def test_done_of_something_unknown_is_harmless() -> None:
    it = leases(0)
    it.done(key(5))
    it.done(key(0))
    it.done(key(0))
    it.hello(A, "a", (), now=0)
    it.credit(A, 1)
    assert it.next(now=0) is None


def take(it: Leases, peer: bytes, *, at: float = 0.0) -> list[RecordKey]:
    """A worker comes, asks for three records and gets what it can."""
    it.hello(peer, peer.decode(), (), now=at)
    it.credit(peer, 3)
    taken = []
    while (turn := it.next(now=at)) is not None:
        taken.append(turn[1])
    return taken


def test_what_a_dead_worker_had_is_given_out_alone_until_it_is_known_which_it_died_of() -> None:
    it = leases(0, 1, 2)
    assert take(it, A) == [key(0), key(1), key(2)]
    it.died(A)
    it.add(key(3))
    assert take(it, B) == [key(0)]
    it.done(key(0))
    it.credit(B, 1)
    assert it.next(now=0) == (B, key(1))
    it.died(B)  # of record 1, and of no other
    for name in (b"c", b"d"):
        assert it.spent() == []
        assert take(it, name) == [key(1)]
        it.died(name)
    assert it.spent() == [key(1)]
    assert it.spent() == []
    it.done(key(1))
    assert take(it, b"e") == [key(2)]
    it.done(key(2))
    assert it.next(now=0) == (b"e", key(3))


def test_nothing_newer_is_given_out_while_a_suspect_waits_for_a_worker_with_nothing_else() -> None:
    it = leases(*range(6))
    assert take(it, A) == [key(0), key(1), key(2)]
    assert take(it, B) == [key(3), key(4), key(5)]
    it.add(key(6))
    it.died(A)
    it.done(key(3))
    it.credit(B, 1)
    assert it.next(now=0) is None
    it.add(key(9, "capture"))
    assert it.next(now=0) == (B, key(9, "capture"))  # a count is no work
    it.done(key(4))
    it.done(key(5))
    it.credit(B, 3)
    assert it.next(now=0) == (B, key(0))
    assert it.next(now=0) is None


def test_a_suspect_that_every_worker_has_already_holds_nothing_up() -> None:
    it = Leases(lease_s=3.0, heartbeat_s=1.0, tries=3)
    it.add(key(0))
    assert take(it, A) == [key(0)]
    it.died(A)
    assert take(it, B) == [key(0)]
    it.heard(B, now=4.0)
    it.expire(now=4.0)  # it may still be done there, and goes to another as soon as there is one
    it.add(key(1))
    assert it.next(now=4.0) is None
    assert take(it, b"c", at=4.0) == [key(0)]


def test_a_silent_worker_is_a_dead_one() -> None:
    it = Leases(lease_s=10.0, heartbeat_s=1.0, tries=1)
    it.add(key(0))
    it.hello(A, "a", (), now=0)
    it.credit(A, 1)
    it.next(now=0)
    it.expire(now=6.0)
    assert it.spent() == [key(0)]


def test_a_bye_a_new_hello_and_a_lease_that_is_over_are_no_tries() -> None:
    it = Leases(lease_s=3.0, heartbeat_s=1.0, tries=1)
    it.add(key(0))
    it.hello(A, "a", (), now=0)
    it.credit(A, 1)
    it.next(now=0)
    it.hello(B, "a", (), now=1)
    it.credit(B, 1)
    assert it.next(now=1) == (B, key(0))
    it.expire(now=4.5)
    it.leave(B)
    assert it.spent() == []


def test_what_was_done_is_not_spent() -> None:
    it = Leases(lease_s=10.0, heartbeat_s=1.0, tries=1)
    it.add(key(0))
    take(it, A)
    it.died(A)
    it.done(key(0))
    assert it.spent() == []


def test_a_peer_that_takes_another_name_gives_back_what_it_had() -> None:
    it = leases(0)
    it.hello(A, "a", (), now=0)
    it.credit(A, 1)
    it.next(now=0)
    it.hello(A, "b", (), now=0)
    it.credit(A, 1)
    assert it.next(now=0) == (A, key(0))


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, each record waits, is leased to one worker that is there, or was done; no
    worker gets more than its credit, nor a record twice down one connection."""

    def __init__(self) -> None:
        super().__init__()
        self.it = Leases(lease_s=10.0, heartbeat_s=1.0, tries=3)
        self.now = 0.0
        self.added = 0
        self.open: set[RecordKey] = set()
        self.credit: dict[bytes, int] = {}
        self.sent: dict[bytes, set[RecordKey]] = {}
        self.connections = 0

    @rule()
    def add(self) -> None:
        self.it.add(key(self.added))
        self.open.add(key(self.added))
        self.added += 1

    @rule(name=st.sampled_from("pqr"), data=st.data())
    def connect(self, name: str, data: st.DataObject) -> None:
        holds = tuple(data.draw(st.sets(st.sampled_from(sorted(self.open)))) if self.open else ())
        peer = f"{name}{self.connections}".encode()
        self.connections += 1
        self.it.hello(peer, name, holds, now=self.now)
        self.credit[peer], self.sent[peer] = 0, set(holds)

    @precondition(lambda self: self.it.peers)
    @rule(data=st.data(), records=st.integers(1, 4))
    def give_credit(self, data: st.DataObject, records: int) -> None:
        peer = data.draw(st.sampled_from(self.it.peers))
        self.it.credit(peer, records)
        self.credit[peer] += records

    @rule()
    def send(self) -> None:
        turn = self.it.next(now=self.now)
        if turn is None:
            return
        peer, record = turn
        assert peer in self.it.peers
        assert record in self.open
        assert record not in self.sent[peer]
        in_work = self.it._workers[peer].in_work
        assert in_work == [record] or self.it._tries.keys().isdisjoint(in_work)  # a suspect is alone
        self.sent[peer].add(record)
        self.credit[peer] -= 1
        assert self.credit[peer] >= 0

    @precondition(lambda self: self.added)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        record = key(data.draw(st.integers(0, self.added - 1)))
        self.it.done(record)
        self.open.discard(record)

    @precondition(lambda self: self.it.peers)
    @rule(data=st.data(), died=st.booleans())
    def leave(self, data: st.DataObject, died: bool) -> None:
        peer = data.draw(st.sampled_from(self.it.peers))
        if died:
            self.it.died(peer)
        else:
            self.it.leave(peer)

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]), data=st.data())
    def time_passes(self, seconds: float, data: st.DataObject) -> None:
        self.now += seconds
        for peer in self.it.peers:
            if data.draw(st.booleans()):
                self.it.heard(peer, now=self.now)
        self.it.expire(now=self.now)

    @invariant()
    def each_open_record_waits_or_is_leased(self) -> None:
        waiting, leased = self.it._queued, self.it._leased
        assert waiting | leased.keys() == self.open
        assert not waiting & leased.keys()
        assert all(peer in self.it.peers for peer, _ in leased.values())

    def teardown(self) -> None:
        """In the end one fresh worker gets everything that is left, and finishes it."""
        for peer in self.it.peers:
            self.it.leave(peer)
        self.it.hello(b"last", "last", (), now=self.now)
        left = set()
        for _ in range(len(self.open)):
            self.it.credit(b"last", 1)
            turn = self.it.next(now=self.now)
            assert turn is not None
            left.add(turn[1])
            self.it.done(turn[1])
        assert left == self.open


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
