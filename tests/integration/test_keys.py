"""The keys on disk: made once, kept to their owner, rotated, trusted, distrusted; and no backup without one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.errors import CounterfoilError
from snapshots.trust.keys import NEVER_BELIEVED, KeyMissing, Keys, KeyThere, KeyUnknown
from snapshots.trust.signing import KeyUnusable, private_pem, public_pem
from tests.fixtures.archives import SIGNER

AT = datetime(2026, 3, 1, tzinfo=UTC)
MANIFEST = b"{}\n"
_FIRST_START = """
import sys
from pathlib import Path
from snapshots.trust.keys import Keys

keys = Keys(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
keys.make_first()
print(keys.signer().key)
"""


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """An installation's keys before its first start."""
    return Keys(tmp_path / "keys")


def verdict(keys: Keys, signature: bytes) -> str:
    """What an archive taken at AT would be."""
    return keys.ring().judge(MANIFEST, signature, AT).verdict


def test_the_first_start_makes_a_key_that_only_its_owner_may_read(keys: Keys) -> None:
    keys.make_first()

    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in keys.path.parent.iterdir() if path.name.startswith(".")] == []


def test_a_later_start_keeps_the_key(keys: Keys) -> None:
    keys.make_first()
    first = keys.signer().key

    keys.make_first()

    assert keys.signer().key == first


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _FIRST_START, str(tmp_path / "keys")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()

    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in started]

    assert len(set(said)) == 1, said
    assert all(process.returncode == 0 for process in started)
    assert [key.id for key in Keys(tmp_path / "keys").trusted()] == [said[0]]


def test_a_key_given_by_path_signs_and_is_believed(tmp_path: Path) -> None:
    given = tmp_path / "given.pem"
    given.write_text(private_pem(bytes(32)))
    given.chmod(0o600)
    keys = Keys(tmp_path / "keys", given)

    signature = keys.signer().sign(MANIFEST)

    assert verdict(keys, signature) == "authentic"
    assert not (tmp_path / "keys" / "signing.pem").exists()
    with pytest.raises(KeyUnusable):
        keys.rotate()


def test_a_given_key_that_is_exchanged_leaves_the_old_one_believed(tmp_path: Path) -> None:
    given = tmp_path / "given.pem"
    given.write_text(private_pem(bytes(32)))
    given.chmod(0o600)
    keys = Keys(tmp_path / "keys", given)
    signature = keys.signer().sign(MANIFEST)

    given.write_text(private_pem(bytes(31) + b"1"))
    other = keys.signer().sign(MANIFEST)

    assert signature != other
    assert (verdict(keys, signature), verdict(keys, other)) == ("authentic", "authentic")


def taken_away(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def garbage(path: Path) -> None:
    path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def emptied(path: Path) -> None:
    path.write_text("")


def a_public_key(path: Path) -> None:
    path.write_text(public_pem(SIGNER.public))


def readable_by_others(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (taken_away, "key.missing"),
        (a_folder, "key.unusable"),
        (garbage, "key.unusable"),
        (emptied, "key.unusable"),
        (a_public_key, "key.unusable"),
        (readable_by_others, "key.unusable"),
    ],
)
def test_f23_a_key_that_is_missing_unreadable_or_wrong_signs_nothing_and_is_not_replaced_in_silence(
    keys: Keys, spoil: Callable[[Path], None], code: str
) -> None:
    keys.signer()
    spoil(keys.path)

    keys.make_first()
    with pytest.raises(CounterfoilError) as refused:
        keys.signer()

    assert refused.value.code == code
    assert str(keys.path) in str(refused.value)


def test_a_trusted_key_whose_file_was_changed_is_refused(keys: Keys, tmp_path: Path) -> None:
    keys.trust("them", public_pem(SIGNER.public), where="their.pem")
    file = tmp_path / "keys" / "trusted" / f"{SIGNER.key}.json"
    file.write_bytes(file.read_bytes().replace(b'"public": "', b'"public": "AAAA'))

    with pytest.raises(KeyUnusable):
        keys.ring()


def test_a_trusted_keys_file_that_holds_another_key_is_refused(keys: Keys, tmp_path: Path) -> None:
    keys.trust("them", public_pem(SIGNER.public), where="their.pem")
    other = keys.signer().key
    trusted = tmp_path / "keys" / "trusted"
    (trusted / f"{other}.json").replace(trusted / f"{SIGNER.key}.json")

    with pytest.raises(KeyUnusable, match=SIGNER.key):
        keys.ring()


def test_m09_after_a_rotation_the_old_signature_and_the_new_are_authentic(keys: Keys) -> None:
    old = keys.signer()
    before = old.sign(MANIFEST)

    made = keys.rotate()
    after = keys.signer().sign(MANIFEST)

    assert made.key != old.key
    assert keys.signer().key == made.key
    assert (verdict(keys, before), verdict(keys, after)) == ("authentic", "authentic")


def test_a_key_that_was_lost_is_made_anew_by_a_rotation(keys: Keys) -> None:
    before = keys.signer().sign(MANIFEST)
    keys.path.unlink()
    with pytest.raises(KeyMissing):
        keys.signer()

    made = keys.rotate()

    assert keys.signer().key == made.key
    assert verdict(keys, before) == "authentic"


def test_m09_a_distrusted_key_is_believed_before_that_date_and_not_from_it_on(keys: Keys) -> None:
    keys.trust("them", public_pem(SIGNER.public), where="their.pem")
    signature = SIGNER.sign(MANIFEST)
    assert verdict(keys, signature) == "authentic"

    keys.distrust("them", AT)
    assert verdict(keys, signature) == "unsigned"

    keys.distrust("them", AT.replace(day=2))
    assert verdict(keys, signature) == "authentic"

    keys.distrust(SIGNER.key, NEVER_BELIEVED)
    assert verdict(keys, signature) == "unsigned"

    keys.distrust("them", None)
    assert verdict(keys, signature) == "authentic"


def test_our_own_key_signs_no_more_once_it_is_distrusted(keys: Keys) -> None:
    key = keys.signer().key

    keys.distrust(key, NEVER_BELIEVED)

    with pytest.raises(KeyUnusable, match="distrusted"):
        keys.signer()
    assert keys.rotate().key == keys.signer().key


def test_a_key_or_a_name_is_trusted_once(keys: Keys) -> None:
    keys.trust("them", public_pem(SIGNER.public), where="their.pem")

    with pytest.raises(KeyThere):
        keys.trust("others", public_pem(SIGNER.public), where="their.pem")
    with pytest.raises(KeyThere):
        keys.trust("them", public_pem(keys.signer().public), where="our.pem")
    with pytest.raises(KeyUnknown):
        keys.distrust("nobody", None)


def test_m03_a_key_of_small_order_is_not_trusted(keys: Keys) -> None:
    with pytest.raises(KeyUnusable):
        keys.trust("small", public_pem(bytes(32)), where="small.pem")

    assert keys.trusted() == ()
