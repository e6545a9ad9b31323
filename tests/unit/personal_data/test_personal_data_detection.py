"""What the patterns find, and what they must leave alone."""
# ruff: noqa: RUF001 - look-alike characters are the point

import pytest

from libs.personal_data import PatternDetector

DETECTOR = PatternDetector()
GITHUB = "ghp_" + "a1B2" * 9
GOOGLE = "AIza" + "A1b2C" * 7
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-DEF_ghi"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----"

VALUES = [
    ("EMAIL_ADDRESS", "ada@example.org"),
    ("EMAIL_ADDRESS", "Ada.Lovelace+news@mail.example.co.uk"),
    ("EMAIL_ADDRESS", "jörg@müller.example"),
    ("EMAIL_ADDRESS", "x@xn--bcher-kva.example"),
    ("EMAIL_ADDRESS", "ada (at) example (dot) org"),
    ("EMAIL_ADDRESS", "ada@exam\u200bple.org"),
    ("EMAIL_ADDRESS", "ａｄａ＠ｅｘａｍｐｌｅ．ｏｒｇ"),
    ("PHONE_NUMBER", "+49 30 1234567"),
    ("PHONE_NUMBER", "+1-212-555-0123"),
    ("PHONE_NUMBER", "(212) 555-0123"),
    ("PHONE_NUMBER", "212.555.0123"),
    ("PHONE_NUMBER", "030 1234567"),
    ("PHONE_NUMBER", "0171 1234567"),
    ("PHONE_NUMBER", "020 7946 0018"),
    ("PHONE_NUMBER", "01 23 45 67 89"),
    ("PHONE_NUMBER", "0049 30 1234567"),
    ("CREDIT_CARD", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "4111-1111-1111-1111"),
    ("CREDIT_CARD", "5555555555554444"),
    ("CREDIT_CARD", "378282246310005"),
    ("CREDIT_CARD", "3782 822463 10005"),
    ("CREDIT_CARD", "6011111111111117"),
    ("CREDIT_CARD", "３５３０１１１３３３３０００００"),
    ("CREDIT_CARD", "٤١١١ ١١١١ ١١١١ ١١١١"),
    ("IBAN", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "DE89370400440532013000"),
    ("IBAN", "gb29nwbk60161331926819"),
    ("IBAN", "NL91 ABNA 0417 1643 00"),
    ("IP_ADDRESS", "192.168.1.77"),
    ("IP_ADDRESS", "2001:db8::ff00:42:8329"),
    ("US_SSN", "536-90-4399"),
    ("UK_NINO", "AB 12 34 56 C"),
    ("UK_NINO", "AB123456C"),
    ("DE_TAX_ID", "86095742719"),
    ("DE_TAX_ID", "86 095 742 719"),
    ("FR_NIR", "1 84 12 76 451 089 46"),
    ("ES_NIF", "12345678Z"),
    ("ES_NIF", "X1234567L"),
    ("IT_FISCAL_CODE", "RSSMRA85T10A562S"),
    ("BE_NATIONAL_NUMBER", "85.07.30-033.28"),
    ("SE_PERSONAL_NUMBER", "811218-9876"),
    ("BR_CPF", "529.982.247-25"),
    ("IN_AADHAAR", "2341 2341 2346"),
    ("API_KEY", "AKIAIOSFODNN7EXAMPLE"),
    ("API_KEY", GITHUB),
    ("API_KEY", "sk-proj-abcdefgh12345678abcd"),
    ("API_KEY", "sk-ant-api03-abcdefgh12345678abcd"),
    ("API_KEY", "xoxb-123456789012-abcdef"),
    ("API_KEY", GOOGLE),
    ("JWT", JWT),
    ("PRIVATE_KEY", PEM),
    ("URL_CREDENTIALS", "postgres://bob:s3cret@db.example.com:5432"),
]
AFTER_A_WORD = [
    ("PHONE_NUMBER", "Tel: ", "03012345678"),
    ("PHONE_NUMBER", "my phone is ", "612 345 678"),
    ("US_SSN", "SSN ", "536904399"),
    ("NL_BSN", "BSN: ", "111222333"),
    ("PL_PESEL", "PESEL ", "44051401359"),
    ("BR_CPF", "CPF ", "52998224725"),
    ("IN_AADHAAR", "Aadhaar ", "234123412346"),
    ("PASSWORD", "password: ", "hunter2!"),
    ("PASSWORD", "DB_PASSWORD=", "correct-horse9"),
    ("PASSWORD", "my password is ", "Tr0ub4dor&3"),
    ("PASSWORD", "Passwort: ", "Geheim123"),
    ("PASSWORD", "api_key = ", "abc123def456ghi789"),
    ("PASSWORD", '"client_secret": "', "Zx81Zx82Zx83Zx84"),
    ("PASSWORD", "Authorization: Bearer ", "abcdefghij1234567890XYZ"),
]
HARMLESS = [
    "version 1.2.3.4 of the firmware",
    "see section 1.2.3.4",
    "v10.0.0.1",
    "127.0.0.1 and 0.0.0.0 and ::1",
    "it is 10:30:45 now",
    "std::vector and a::b",
    "on 2024-01-15 10:30 and on 01.02.2024",
    "0.12345678 or 3.14159265358979",
    "order 7781 0012 3345 of 2024",
    "card 4111 1111 1111 1112 fails the check",
    "IBAN DE89 3704 0044 0532 0130 01 fails the check",
    "ISBN 978-3-16-148410-0",
    "git@github.com:org/repo.git",
    "icon@2x.png",
    "mention @ada and user@localhost",
    "password: must be at least eight characters",
    "your password is required here",
    "token is required for access",
    "api_key=${API_KEY} and password=os.environ['PW']",
    "the tokens: 512 of them",
    "sk-learn-extension-for-everybody",
    "000-12-3456 and 666-12-3456 are no SSNs",
    "gpt-4o-2024-08-06",
    "meta-llama/Llama-3.1-8B-Instruct",
    "https://example.com/path?query=1",
    "<EMAIL_ADDRESS_1> and <CREDIT_CARD_12> and <US_SSN>",
    "commit 3f2504e04f8911d39a0c0305e82c3301",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
]
SURROUNDINGS = ["{}", "It is {}.", "It is {}, you know", "({})", "a\n{}\nb", "“{}”", "„{}“, ja"]


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize(("entity_type", "value"), VALUES)
def test_a_value_is_found_exactly_wherever_it_stands(entity_type: str, value: str, around: str) -> None:
    text = around.format(value)
    assert [(f.entity_type, text[f.start : f.end]) for f in DETECTOR.find(text)] == [(entity_type, value)]


@pytest.mark.parametrize(("entity_type", "word", "value"), AFTER_A_WORD)
def test_a_common_shape_is_found_after_a_word_that_names_it(entity_type: str, word: str, value: str) -> None:
    text = f"Please note. {word}{value}"
    assert [(f.entity_type, text[f.start : f.end]) for f in DETECTOR.find(text)] == [(entity_type, value)]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_resembles_personal_data_is_left_alone(text: str) -> None:
    assert DETECTOR.find(text) == []


def test_digits_beside_a_card_do_not_hide_it() -> None:
    text = "order 12 4111 1111 1111 1111 123"
    assert [text[f.start : f.end] for f in DETECTOR.find(text)] == ["4111 1111 1111 1111"]


def test_the_longer_of_two_overlapping_values_wins() -> None:
    text = "https://bob:pw@mail.example.org/inbox"
    (finding,) = DETECTOR.find(text)
    assert (finding.entity_type, text[finding.start : finding.end]) == (
        "URL_CREDENTIALS",
        "https://bob:pw@mail.example.org",
    )


def test_a_private_key_cut_off_in_the_middle_is_still_covered() -> None:
    text = "key: -----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQ"
    assert [text[f.start : f.end] for f in DETECTOR.find(text)] == [text[5:]]


def test_a_value_cannot_hide_inside_something_like_a_placeholder() -> None:
    for text in ("<CREDIT_CARD_4111111111111111>", "<A4111111111111111>", "<EMAIL_ADDRESS_ada@example.org>"):
        assert DETECTOR.find(text), text


def test_other_regions_have_other_national_numbers() -> None:
    assert PatternDetector(["US"]).find("ring 030 1234567") == []
    assert PatternDetector(["DE"]).find("ring 030 1234567") != []
