"""Whether a candidate is what it looks like: check digits and ranges. Everything takes text with its separators. Pure."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

__all__ = ["is_card", "is_cpf", "is_dni", "is_iban", "is_ipv4", "is_ipv6", "is_nir", "is_phone", "is_ssn"]

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_DATE = re.compile(
    r"(19|20)\d\d[-./ ](0?[1-9]|1[0-2])[-./ ](0?[1-9]|[12]\d|3[01])\b|\d{1,2}[-./ ]\d{1,2}[-./ ](19|20)?\d\d$"
)


def _digits(text: str) -> list[int]:
    return [int(char) for char in text if char.isdecimal()]


def is_card(text: str) -> bool:
    """ISO/IEC 7812: 13 to 19 digits with Luhn's check digit; 0, 1 and 7 begin no bank's card, but times in milliseconds."""
    digits = _digits(text)
    if not 13 <= len(digits) <= 19 or digits[0] in {0, 1, 7} or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def is_iban(text: str) -> bool:
    """ISO 13616: 15 to 34 characters, 1 modulo 97 (ISO 7064)."""
    plain = re.sub(r"[\s-]", "", text).upper()
    if not 15 <= len(plain) <= 34 or not plain.isascii():
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def is_ipv6(text: str) -> bool:
    """With at least three groups written out, so that `::` and times are none."""
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return len([group for group in text.split(":") if group]) >= 3


def is_ssn(text: str) -> bool:
    """US social security number: areas 000, 666 and 9xx, group 00 and serial 0000 were never given."""
    area, group, serial = text[:3], text[4:6], text[7:]
    return area not in {"000", "666"} and area[0] != "9" and group != "00" and serial != "0000"


def is_cpf(text: str) -> bool:
    """Brazil: two check digits modulo 11."""
    digits = _digits(text)
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    return all(
        sum((place + 1 - at) * digits[at] for at in range(place)) * 10 % 11 % 10 == digits[place] for place in (9, 10)
    )


def is_dni(text: str) -> bool:
    """Spain, DNI and NIE: the letter is the number modulo 23."""
    plain = re.sub(r"[\s-]", "", text).upper()
    number = plain[:-1].translate(str.maketrans("XYZ", "012"))
    return number.isdecimal() and _DNI_LETTERS[int(number) % 23] == plain[-1]


def is_nir(text: str) -> bool:
    """France: 13 digits and the key 97 - number modulo 97 (Corsica's 2A and 2B as 19 and 18)."""
    plain = re.sub(r"\s", "", text).upper().replace("2A", "19").replace("2B", "18")
    return len(plain) == 15 and plain.isdecimal() and 97 - int(plain[:13]) % 97 == int(plain[13:])


def is_phone(text: str) -> bool:
    """7 to 15 digits (E.164), not a date, and not one number over and over."""
    count = len(_digits(text))
    return 7 <= count <= 15 and len(set(_digits(text))) > 1 and not _DATE.match(text.strip())
