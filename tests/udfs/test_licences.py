import pytest

from udfs import licences

ALLOWED = ("CC-BY-4.0", "MIT", "GPL-2.0-only", "LicenseRef-house")


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("cc-by-4.0", "CC-BY-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("CC-BY-4.0+", "CC-BY-4.0"),
        ("(MIT)", "MIT"),
        ("The MIT License", "MIT"),
        ("MIT OR CC-BY-4.0", "CC-BY-4.0"),  # the first of the list
        ("mit or Apache-2.0", "MIT"),
        ("MIT AND cc by 4.0", "CC-BY-4.0 AND MIT"),
        ('["MIT", "CC-BY-4.0"]', "CC-BY-4.0 AND MIT"),
        ("MIT AND (Apache-2.0 OR CC-BY-4.0)", "CC-BY-4.0 AND MIT"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("GPL-2.0-or-later", "GPL-2.0-only"),
        ("GPL-2.0+", "GPL-2.0-only"),
        ("house", "LicenseRef-house"),
        ("licenseref-House", "LicenseRef-house"),
        ("MIT AND Apache-2.0", None),
        ('["MIT", "Apache-2.0"]', None),
        ("GPL-2.0 WITH Classpath-exception-2.0", None),
        ("CC-BY-NC-4.0", None),
        ("CC-BY-3.0", None),
        ("MIT OR", None),
        ("((MIT)", None),
        ('["MIT"', None),
        ("[]", None),
        ("NOASSERTION", None),
        ("all rights reserved", None),
    ],
)
def test_used_takes_what_the_list_allows(text, used):
    assert licences.used(text, ALLOWED) == used


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("apache license 2.0", "Apache-2.0"),
        ("gpl-3.0 or mit", "GPL-3.0-only OR MIT"),
        ("LicenseRef-house", "LicenseRef-house"),
        ("house", None),
        ("CC-BY4", None),
        ("", None),
    ],
)
def test_canonical_is_spdx_own_spelling(text, canonical):
    assert licences.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "into", "why"),
    [
        ("CC-BY-4.0 AND MIT", "CC-BY-4.0", None),
        ("CC0-1.0", "MIT", None),
        ("CC0-1.0", "CC0-1.0", None),
        ("CC-BY-SA-3.0", "CC-BY-SA-4.0", None),
        ("GPL-3.0-or-later", "GPL-3.0-or-later", None),
        ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", None),
        ("LicenseRef-house", "LicenseRef-house", None),
        ("MIT AND CC-BY-SA-4.0", "CC-BY-4.0", "CC-BY-SA-4.0 wants its own licence for what is made from it"),
        ("CC-BY-SA-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0 wants its own licence for what is made from it"),
        ("CC-BY-NC-SA-4.0", "CC-BY-SA-4.0", "CC-BY-NC-SA-4.0 wants its own licence for what is made from it"),
        ("GPL-2.0-only", "GPL-3.0-only", "GPL-2.0-only wants its own licence for what is made from it"),
        ("CC-BY-NC-4.0", "CC-BY-4.0", "CC-BY-NC-4.0 permits no commercial use"),
        ("CC-BY-ND-4.0", "CC-BY-4.0", "CC-BY-ND-4.0 permits nothing that is made from it"),
        ("MIT", "CC0-1.0", "MIT wants its authors named"),
        ("LicenseRef-llama3", "MIT", "LicenseRef-llama3 is not known to permit it"),
    ],
)
def test_conflict_of_licences_is_said_in_words(text, into, why):
    assert licences.conflict(text, into) == why
