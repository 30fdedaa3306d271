"""The password and one-time codes by themselves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from server.auth import password as passwords
from server.auth import totp as totps
from server.auth.password import Password
from server.auth.throttle import Guesses, Throttle
from server.auth.totp import Totp, accepted_step
from server.errors import BadRequest, Unprocessable
from server.store import db, secret


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("  eight ch  ", "eight ch", id="spaces around it do not count"),
        pytest.param("x" * 64, "x" * 64, id="long"),
        pytest.param("пароль-と-😀", "пароль-と-😀", id="any script"),
        pytest.param("cafe\u0301 noir", "caf\u00e9 noir", id="one form of an accent"),
    ],
)
def test_a_password_that_can_be_taken(given: str, expected: str) -> None:
    assert passwords.checked(given) == expected


@pytest.mark.parametrize(
    "given", ["", "1234567", "   1234567   ", "x" * 1025, "\ud800" * 12, None, 12345678, []]
)
def test_a_password_that_cannot(given: object) -> None:
    with pytest.raises(Unprocessable):
        passwords.checked(given)


@pytest.mark.usefixtures("database")
class TestPassword:
    def built(self) -> Password:
        password = Password()
        password.load()
        return password

    def test_it_survives_a_restart_as_argon2id(self) -> None:
        password = self.built()
        assert not password.configured
        password.put("correct horse")
        again = self.built()
        assert (
            again.configured and again.matches("correct horse") and again.matches(" correct horse ")
        )
        assert not again.matches("correct horsE")
        stored = secret.read("password") or b""
        assert stored.startswith(b"$argon2id$v=19$m=19456,t=2,p=1$")

    def test_characters_nobody_can_type_are_only_wrong(self) -> None:
        password = self.built()
        password.put("correct horse")
        for strange in ("\ud800", "\0", "x" * 100_000, ""):
            assert not password.matches(strange)

    def test_with_none_set_nothing_fits_and_the_work_is_done(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        password, done = self.built(), []
        real = passwords._hasher

        class Counting:
            def hash(self, text: bytes) -> str:
                return real().hash(text)

            def verify(self, hashed: str, text: bytes) -> bool:
                done.append(hashed)
                return real().verify(hashed, text)

        monkeypatch.setattr(passwords, "_hasher", Counting)
        assert not password.matches("nobody's password")
        assert not password.matches("anything")
        assert len(done) == 2

    def test_a_damaged_hash_lets_nobody_in(self) -> None:
        with db.writing_secrets():
            secret.write("password", b"rubbish")
        assert not self.built().matches("rubbish")

    def test_of_two_first_passwords_one_wins(self) -> None:
        password = self.built()
        with ThreadPoolExecutor(2) as pool:
            won = list(
                pool.map(lambda text: password.put(text, first=True), ["first one", "other one"])
            )
        assert sorted(won) == [False, True]

    def test_at_most_two_are_checked_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        password, now, most = self.built(), [0], [0]
        lock, both = threading.Lock(), threading.Barrier(2, timeout=30)

        class Slow:
            def hash(self, text: bytes) -> str:
                return "x"

            def verify(self, hashed: str, text: bytes) -> bool:
                with lock:
                    now[0] += 1
                    most[0] = max(most[0], now[0])
                both.wait()  # only ends when two are in
                with lock:
                    now[0] -= 1
                return True

        monkeypatch.setattr(passwords, "_hasher", Slow)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(password.matches, ["x"] * 8))
        assert most == [2]


KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NOW = 1_800_000_000_000
STEP = NOW // 30_000


def code(step: int, key: str = KEY) -> str:
    return pyotp.TOTP(key).generate_otp(step)


@pytest.mark.parametrize(
    ("given", "last", "expected"),
    [
        pytest.param(code(STEP), 0, STEP, id="now"),
        pytest.param(code(STEP - 1), 0, STEP - 1, id="typed slowly"),
        pytest.param(code(STEP + 1), 0, STEP + 1, id="a clock ahead"),
        pytest.param(code(STEP - 2), 0, None, id="too old"),
        pytest.param(code(STEP + 2), 0, None, id="too early"),
        pytest.param(code(STEP), STEP, None, id="used"),
        pytest.param(code(STEP - 1), STEP, None, id="older than the used one"),
        pytest.param(code(STEP + 1), STEP, STEP + 1, id="the next one"),
        pytest.param("".join(chr(0xFF10 + int(c)) for c in code(STEP)), 0, None, id="full width"),
        pytest.param(f" {code(STEP)}", 0, None, id="a space"),
        pytest.param(f"{code(STEP)}\n", 0, None, id="a line end"),
        pytest.param(code(STEP)[:5], 0, None, id="five digits"),
        pytest.param("", 0, None, id="nothing"),
        pytest.param("\ud800", 0, None, id="no character at all"),
    ],
)
def test_one_time_codes(given: str, last: int, expected: int | None) -> None:
    assert accepted_step(KEY, given, NOW, last) == expected


@pytest.mark.usefixtures("database")
class TestTotp:
    def built(self) -> Totp:
        totp = Totp()
        totp.load()
        return totp

    def set_up(self) -> tuple[Totp, str, list[str]]:
        totp = self.built()
        offer = totp.offer(NOW)
        return totp, offer.secret, totp.confirm(offer.secret, code(STEP, offer.secret), NOW)

    def test_an_offer_changes_nothing_and_can_be_scanned(self) -> None:
        totp = self.built()
        offer = totp.offer(NOW)
        assert offer.svg.startswith("data:image/svg+xml") and len(offer.secret) == 32
        assert offer.uri.startswith("otpauth://totp/Brimline:dashboard?secret=")
        assert not self.built().configured and not totp.verify(code(STEP, offer.secret), NOW)

    def test_the_secret_is_sealed(self) -> None:
        _, key, codes = self.set_up()
        stored = b"".join(
            secret.read(name) or b"" for name in ("totp", "totp_step", "totp_recovery")
        )
        assert key.encode() not in stored
        assert not [value for value in codes if value.encode() in stored]
        assert not [value for value in codes if value.replace("-", "").encode() in stored]

    def test_a_code_works_once_even_over_a_restart(self) -> None:
        totp, key, _ = self.set_up()
        assert not totp.verify(code(STEP, key), NOW)  # it confirmed the set-up
        assert totp.verify(code(STEP + 1, key), NOW)
        assert not totp.verify(code(STEP + 1, key), NOW)
        assert not self.built().verify(code(STEP + 1, key), NOW)
        assert self.built().verify(code(STEP + 2, key), NOW + 30_000)

    def test_of_many_at_once_one_gets_in(self) -> None:
        totp, key, codes = self.set_up()
        for value in (code(STEP + 1, key), codes[0]):
            with ThreadPoolExecutor(8) as pool:
                found = list(pool.map(lambda text: totp.verify(text, NOW), [value] * 8))
            assert found.count(True) == 1

    def test_recovery_codes_work_once_however_they_are_written(self) -> None:
        totp, _, codes = self.set_up()
        assert len(set(codes)) == totps.RECOVERY_CODES == totp.recovery_left
        assert totp.verify(codes[0].upper().replace("-", " "), NOW)
        assert not totp.verify(codes[0], NOW)
        assert not self.built().verify(codes[0], NOW)
        fresh = totp.new_recovery_codes()
        assert not totp.verify(codes[1], NOW)
        assert self.built().verify(fresh[1], NOW)

    @pytest.mark.parametrize("late", [0, totps.OFFER_MS])
    def test_only_what_was_offered_can_be_confirmed(self, late: int) -> None:
        totp = self.built()
        key = totp.offer(NOW).secret if late else KEY
        with pytest.raises(BadRequest) as caught:
            totp.confirm(key, code((NOW + late) // 30_000, key), NOW + late)
        assert caught.value.code == "invalid_totp_setup"
        assert not self.built().configured

    def test_a_wrong_first_code_sets_nothing_up(self) -> None:
        totp = self.built()
        key = totp.offer(NOW).secret
        with pytest.raises(BadRequest) as caught:
            totp.confirm(key, "000000" if code(STEP, key) != "000000" else "000001", NOW)
        assert caught.value.code == "invalid_totp_code"
        assert not totp.configured

    def test_clearing_leaves_nothing(self) -> None:
        totp, _, codes = self.set_up()
        totp.clear()
        assert not totp.configured and not totp.verify(codes[0], NOW)
        assert [secret.read(name) for name in ("totp", "totp_step", "totp_recovery")] == [None] * 3


def test_the_throttle_slows_down_and_never_locks() -> None:
    now = [0.0]
    throttle = Throttle(5, 36.0, clock=lambda: now[0])
    assert [throttle.take() for _ in range(5)] == [0] * 5
    assert throttle.take() == 36
    now[0] += 35.9
    assert throttle.take() == 1
    now[0] += 0.2
    assert throttle.take() == 0
    throttle.give_back()
    assert throttle.take() == 0
    now[0] += 10_000
    assert [throttle.take() for _ in range(6)] == [0] * 5 + [36]


def test_of_strangers_guesses_a_hundred_are_looked_at_in_an_hour() -> None:
    now = [0.0]
    guesses = Guesses(clock=lambda: now[0])
    found = [guesses.claim() for _ in range(40)]
    assert [each.looked_at for each in found] == [True] * 20 + [False] * 20
    assert [each.wait for each in found] == [0] * 5 + [48] * 35, "the reserve is not told apart"
    looked_at = 20
    while now[0] < 3600:
        now[0] += 0.5
        looked_at += guesses.claim().looked_at
    assert looked_at <= 100


def test_a_right_one_costs_nothing_also_from_the_reserve() -> None:
    guesses = Guesses(clock=lambda: 0.0)
    for _ in range(19):
        guesses.claim()
    for _ in range(10):
        right = guesses.claim()
        assert right.looked_at
        right.give_back()


def test_no_stranger_spends_the_tries_of_a_known_browser() -> None:
    guesses = Guesses(clock=lambda: 0.0)
    for browser in (None, "mine", "another"):
        assert [guesses.claim(browser).looked_at for _ in range(21)] == [True] * 20 + [False]
    for number in range(64):
        guesses.claim(f"b{number}")
    assert guesses.claim("another").looked_at, "long unseen, it is forgotten"


def test_a_badge_is_known_until_the_password_changes(database: None) -> None:
    password = Password()
    assert password.knows("") is None
    password.put("correct horse")
    badge = password.badge()
    assert password.knows(badge) == badge.partition(".")[0]
    for other in ("", ".", "x", badge + "0", "x" + badge, badge[:-1], "é." + "0" * 64):
        assert password.knows(other) is None
    password.put("battery staple")
    assert password.knows(badge) is None
