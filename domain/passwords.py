"""Passwords: which ones are taken (NIST SP 800-63B-4, 3.1.1.2), and how they are kept: as argon2id hashes (RFC 9106).

Hashing is slow on purpose and takes ``MEMORY_BYTES`` each time: whoever calls bounds how many run at once.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from nacl import pwhash
from nacl.exceptions import InvalidkeyError

from domain.entity import FieldRefused

# RFC 9106 recommends 64 MiB and three passes where 2 GiB are too much; libsodium has one lane. 0.15 s of one core here.
PASSES = 3
MEMORY_BYTES = 64 * 1024 * 1024
LEAST_CHARACTERS = 15  # of a password that is the only thing asked for
MOST_CHARACTERS = 256
# The commonest ones, and what the commonest ones are made of; those that are shorter than a password count repeated.
_WORDS = """
1234567890 12345678910 123456789 12345678 1234567 123456 12345 1234 0123456789 987654321 qwerty qwertyuiop qwerty123
azerty azertyuiop qwertz asdfghjkl 1q2w3e4r 1q2w3e4r5t 1qaz2wsx zaq12wsx password passw0rd p@ssw0rd password1 admin
password123 wachtwoord motdepasse passwort contraseña admin123 administrator welcome welcome1 welkom welkom01 letmein
bienvenue iloveyou monkey dragon football baseball princess sunshine master superman trustno1 secret secret123 changeme
default guest user login test test123 hello abc123 abcd1234 abcdefgh counterfoil invoice 123456789012345 abcdefghijklmno
1234567890123456 123456789123456789 qwertyuiopasdfgh qwertyuiopasdfghjkl qwertyuiop12345 qwertyuiop123456
1qaz2wsx3edc4rfv 1q2w3e4r5t6y7u8i 1q2w3e4r5t6y7u8i9o0p passwordpassword1 thisismypassword mypasswordispassword
correcthorsebatterystaple
"""
_COMMONEST = frozenset([*_WORDS.split(), "correct horse battery staple"])


def check_password(password: str, *, email: str) -> str:
    """*password* in the form that is hashed (NFKC). Raises FieldRefused, which never quotes it.

    Any characters are taken, in any mixture: length is what makes it hard to guess.
    """
    normal = normalised(password)
    if len(normal) < LEAST_CHARACTERS:
        raise FieldRefused("password", f"{len(normal)} characters", f"at least {LEAST_CHARACTERS}, such as a few words")
    if len(normal) > MOST_CHARACTERS:
        raise FieldRefused("password", f"{len(normal)} characters", f"at most {MOST_CHARACTERS}")
    folded, mine = normal.casefold(), email.casefold()
    if folded in (mine, mine.partition("@")[0]):
        raise FieldRefused("password", "your e-mail address", "something that nobody knows")
    if folded in _COMMONEST or _repeated(folded) in _COMMONEST or len(_repeated(folded)) <= 3:
        raise FieldRefused("password", "one of the commonest passwords", "one that is not tried first")
    return normal


def _repeated(text: str) -> str:
    """The shortest text that *text* is made of by repeating it, the last time perhaps not wholly."""
    return next(text[:size] for size in range(1, len(text) + 1) if (text[:size] * len(text)).startswith(text))


def normalised(password: str) -> str:
    """*password* in the one form that all its spellings have."""
    return unicodedata.normalize("NFKC", password)


def hash_password(normal: str) -> str:
    """What is kept of a checked password: salt, parameters and hash in one text."""
    return pwhash.argon2id.str(normal.encode(), opslimit=PASSES, memlimit=MEMORY_BYTES).decode()


def is_password(kept: str | None, given: str) -> bool:
    """Whether *given* is the password that *kept* was made of. As slow for none, who has no password."""
    normal = normalised(given[: MOST_CHARACTERS + 1]).encode("utf-8", "surrogatepass")
    try:
        return pwhash.verify((kept or _nobodys()).encode(), normal) and kept is not None
    except InvalidkeyError:
        return False


def is_outdated(kept: str) -> bool:
    """Whether *kept* was made with other parameters than those in force."""
    return not kept.startswith(f"$argon2id$v=19$m={MEMORY_BYTES // 1024},t={PASSES},p=1$")


@cache
def _nobodys() -> str:
    return hash_password("nobody has this one")
