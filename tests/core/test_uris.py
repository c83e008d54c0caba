# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.uris import S3Prefix, Source, check_disjoint

SECRET = "secret-1กข2345"


def refused(call, *arguments) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        call(*arguments)
    return raised.value


# --- prefixes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://lake", "lake", ""),
        ("s3://lake/", "lake", ""),
        ("s3://lake/a", "lake", "a/"),
        ("s3://lake/a/b/", "lake", "a/b/"),
        ("s3://my.bucket-1/ทะเบียน/x y#?&", "my.bucket-1", "ทะเบียน/x y#?&/"),
        ("s3://Old_Bucket/a/", "Old_Bucket", "a/"),
        (f"s3://{'B' * 255}/a/", "B" * 255, "a/"),
        (f"s3://point-{'x' * 34}-s3alias/a/", f"point-{'x' * 34}-s3alias", "a/"),
    ],
)
def test_prefixes(uri, bucket, prefix):
    parsed = S3Prefix.parse("destination", uri)
    assert parsed == S3Prefix(bucket, prefix)
    assert parsed.uri == f"s3://{bucket}/{prefix}"
    assert parsed.join("fields", "x.parquet") == f"{prefix}fields/x.parquet"
    assert S3Prefix.parse("destination", parsed.uri) == parsed


BAD_URIS = [
    "",
    "lake/a",
    f"/{SECRET}",
    f"S3://lake/{SECRET}",
    f"s3a://lake/{SECRET}",
    f"https://lake.s3.amazonaws.com/{SECRET}",
    "s3://",
    f"s3:///{SECRET}",
    f"s3://ab/{SECRET}",
    f"s3://{'b' * 256}/{SECRET}",
    f"s3://-lake/{SECRET}",
    f"s3://_lake/{SECRET}",
    f"s3://lake./{SECRET}",
    f"s3://my lake/{SECRET}",
    f"s3://tenant:lake/{SECRET}",
    f"s3://arn:aws:s3:us-east-1:123456789012:accesspoint/lake/{SECRET}",
    f"s3://lake--use1-az4--x-s3/{SECRET}",
    f"s3://la..ke/{SECRET}",
    f"s3://10.0.0.1/{SECRET}",
    f"s3://user:{SECRET}@lake/x",
    f"s3://lake\n/{SECRET}",
    f"s3://lake*/{SECRET}",
    f"s3://lake/../{SECRET}",
    f"s3://lake/{SECRET}/..",
    f"s3://lake/./{SECRET}",
    None,
    7,
]


@pytest.mark.parametrize("uri", BAD_URIS)
def test_what_is_no_s3_uri_is_refused_by_name_and_not_repeated(uri):
    for parameter, call in (
        ("dead_letter", lambda: S3Prefix.parse("dead_letter", uri)),
        ("source", lambda: Source.parse(uri)),
    ):
        error = refused(call)
        assert error.parameter == parameter
        assert str(error).startswith(f"{parameter}: ")
        assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("bucket", "says"),
    [
        ("arn:aws:s3:us-east-1:123456789012:accesspoint/lake", "write the alias of the access point"),
        ("arn:aws:s3::123456789012:accesspoint:lake.mrap", "multi-Region"),
        ("lake--use1-az4--x-s3", "directory bucket"),
    ],
)
def test_what_stands_in_place_of_a_bucket_and_cannot_be_used_is_named(bucket, says):
    assert says in str(refused(S3Prefix.parse, "destination", f"s3://{bucket}/books/"))
    assert says in str(refused(Source.parse, f"s3://{bucket}/in/*.jpg"))


@pytest.mark.parametrize(
    "path", ["/x", "//x", "a//b", "a//", "a\nb", "a\x7f/", " a/b", "a ", "a /", "x" * 701, "ก" * 234]
)
def test_prefixes_that_only_a_mistake_explains_are_refused_for_writing(path):
    error = refused(S3Prefix.parse, "state", f"s3://lake/{path}")
    assert str(error).startswith("state: ")


def test_the_longest_prefix_for_writing():
    assert len(S3Prefix.parse("state", f"s3://lake/{'x' * 699}").prefix) == 700
    refused(S3Prefix.parse, "state", f"s3://lake/{'x' * 700}")


def test_what_is_written_nowhere_may_be_read():
    assert Source.parse("s3://lake/a//b c\n").matches("a//b c\n/x.jpg")


# --- sources ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "prefix", "matching", "others"),
    [
        ("s3://b-1", "", ["a", "a/b", "\n"], []),
        ("s3://b-1/incoming", "incoming", ["incoming", "incoming/", "incoming/a/b.jpg"], ["incoming2/a", "in", "x"]),
        ("s3://b-1/incoming/", "incoming/", ["incoming/", "incoming/a\nb"], ["incoming", "incoming2/a"]),
        ("s3://b-1/in/*.jpg", "in/", ["in/a.jpg", "in/.jpg", "in/a\nb.jpg"], ["in/a/b.jpg", "in/ajpg", "in/a.jpg\n"]),
        ("s3://b-1/*", "", ["a", "a.b"], ["a/b", "/"]),
        ("s3://b-1/**", "", ["a", "a/b", "/", "a\n/b"], []),
        ("s3://b-1/in/**", "in/", ["in/", "in/a", "in/a/b"], ["in", "inn/a"]),
        ("s3://b-1/**/*.jpg", "", ["a.jpg", "a/b.jpg", "a/b/c.jpg", "/a.jpg"], ["a.jpg/b", "ajpg"]),
        ("s3://b-1/in/**/x/*", "in/", ["in/x/a", "in/a/x/b", "in/a/b/x/c"], ["in/ax/b", "in/x", "x/a", "in/x/a/b"]),
        ("s3://b-1/a**b", "a", ["ab", "a/b", "axx/yb"], ["a", "ab/c"]),
        ("s3://b-1/**/**/a", "", ["a", "x/a", "x/y/a"], ["xa"]),
        ("s3://b-1/**/a*/**/b", "", ["a/b", "ax/b", "x/a/y/z/b"], ["ab", "xa/b"]),
        ("s3://b-1/a***/b", "a", ["a/b", "ax/y/b"], ["ab"]),
        ("s3://b-1/?.jpg", "", ["a.jpg", "ก.jpg", "\n.jpg"], [".jpg", "ab.jpg", "/.jpg"]),
        ("s3://b-1/x[ab]", "x", ["xa", "xb"], ["xc", "xab", "x", "xX"]),
        (
            "s3://b-1/x[qa-cs-ux-x]",
            "x",
            ["xq", "xa", "xb", "xc", "xs", "xt", "xu", "xx"],
            ["xd", "xr", "xv", "x-", "xw"],
        ),
        ("s3://b-1/x[b-b]", "x", ["xb"], ["xa", "xc", "x-"]),
        ("s3://b-1/x[a-cz]", "x", ["xa", "xz"], ["xd", "x-"]),
        ("s3://b-1/x[qa-]", "x", ["xq", "xa", "x-"], ["xb"]),
        ("s3://b-1/x[!ab]", "x", ["xc", "x!"], ["xa", "x/"]),
        ("s3://b-1/x[0-9][!a-c]", "x", ["x5d", "x0-"], ["xad", "x5b", "x5/"]),
        ("s3://b-1/x[+-0]y", "x", ["x+y", "x0y"], ["x/y"]),
        ("s3://b-1/x[-a][a-]", "x", ["x-a", "xa-"], ["xb-"]),
        ("s3://b-1/x[]a]", "x", ["x]", "xa"], ["xb"]),
        ("s3://b-1/x[!]a]", "x", ["xb"], ["x]", "xa"]),
        ("s3://b-1/x[^a]", "x", ["x^", "xa"], ["xb"]),
        ("s3://b-1/x[\\&&~||]", "x", ["x\\", "x&", "x~", "x|"], ["xb"]),
        ("s3://b-1/x[*][?][[]", "x*?[", ["x*?[", "x*?[/a"], ["xab["]),
        ("s3://b-1/x[ab", "x[ab", ["x[ab", "x[ab/a"], ["xa"]),
        ("s3://b-1/[[]2026] in/", "[2026] in/", ["[2026] in/a.jpg"], ["2 in/a.jpg"]),
        ("s3://b-1/[[]2026] in", "[2026] in", ["[2026] in/a.jpg", "[2026] in"], ["2 in/a.jpg"]),
        ("s3://b-1/[[]2026] in/**/*.jpg", "[2026] in/", ["[2026] in/a/b.jpg"], ["2 in/a.jpg"]),
        ("s3://b-1/[2026] in/", "", ["2 in/a.jpg", "6 in/b/c"], ["[2026] in/a.jpg"]),
        ("s3://b-1/[/]x", "", [], ["/x", "x"]),
        ("s3://b-1/in/(?i)**/*.jpg", "in/", ["in/a.JPG", "in/A/b.Jpg", "in/c.jpg"], ["IN/a.jpg", "in/a.png"]),
        ("s3://b-1/in/(?i)a?[a-c]/", "in/", ["in/AxB/d", "in/axc/D"], ["in/ax/", "in/axd/x"]),
        ("s3://b-1/(?i)in/", "", ["in/a", "IN/A"], ["x/in/a"]),
        ("s3://b-1/x(?i)y(?i)Z", "x", ["xyz", "xYZ"], ["XYZ"]),
        ("s3://b-1/[(]?i)/a", "(", ["(xi)/a"], ["(?)/a"]),
        ("s3://b-1/in/*.{jpg,png}", "in/", ["in/a.jpg", "in/b.png"], ["in/a.gif", "in/a.jpgpng", "in/a.{jpg,png}"]),
        (
            "s3://b-1/in/(?i)**/*.{jp{e,}g,tif{,f}}",
            "in/",
            ["in/a.JPEG", "in/x/a.jpg", "in/a.tif", "in/a.Tiff"],
            ["in/a.jp"],
        ),
        ("s3://b-1/{north,north-east}/", "north", ["north/a", "north-east/b/c"], ["north", "north-west/a", "x/a"]),
        ("s3://b-1/in/{a,b/}", "in/", ["in/a", "in/b/c"], ["in/a/c", "in/b"]),
        ("s3://b-1/{x}/{y}/", "{x}/{y}/", ["{x}/{y}/a"], ["x/y/a"]),
        ("s3://b-1/[{]a,b}/", "{a,b}/", ["{a,b}/c"], ["a/c"]),
        ("s3://b-1/{a[,}]b,c}", "", ["a,b", "a}b", "c"], ["a"]),
        ("s3://b-1/{a,b}/{c,d}/*", "", ["a/c/x", "b/d/x"], ["a/b/x"]),
        ("s3://b-1/{a,b", "{a,b", ["{a,b/c"], ["a"]),
        (
            "s3://b-1/in/2026-*/",
            "in/2026-",
            ["in/2026-11/a", "in/2026-1/a/b", "in/2026-1/"],
            ["in/2026-1", "in/2027-1/a"],
        ),
        ("s3://b-1/a.b/*.j(p)g", "a.b/", ["a.b/x.j(p)g"], ["axb/x.jpg", "a.b/x.jpg"]),
        ("s3://b-1/*a**a", "", ["aa", "aba", "a/a"], ["a", "/aa"]),
        ("s3://b-1/*a*b", "", ["ab", "aab", "abab", "xaxbxb"], ["ba", "aba", "a/b"]),
    ],
)
def test_what_a_source_matches(uri, prefix, matching, others):
    source = Source.parse(uri)
    assert source.prefix == prefix
    assert [key for key in matching if not source.matches(key)] == []
    assert [key for key in others if source.matches(key)] == []
    assert all(key.startswith(prefix) for key in matching)


@pytest.mark.parametrize(
    ("inner", "outer", "inside"),
    [
        ("s3://b-1/a/b/", "s3://b-1/a/", True),
        ("s3://b-1/a/", "s3://b-1/a/", True),
        ("s3://b-1/a/", "s3://b-1/", True),
        ("s3://b-1/a/", "s3://b-1/a/b/", False),
        ("s3://b-1/ab/", "s3://b-1/a/", False),
        ("s3://b-1/a/b/", "s3://b-2/a/", False),
        ("s3://b-1/x/", "s3://b-2/a/", False),
    ],
)
def test_a_prefix_inside_another(inner, outer, inside):
    assert S3Prefix.parse("destination", inner).is_inside(S3Prefix.parse("state", outer)) is inside


def test_a_backward_range_is_refused():
    assert refused(Source.parse, f"s3://b-1/{SECRET}[z-a]").parameter == "source"


def test_too_many_alternatives_are_refused():
    braces = "{a,b}"
    assert Source.parse(f"s3://b-1/{braces * 6}").matches("abbaab")
    error = refused(Source.parse, f"s3://b-1/{SECRET}{braces * 7}")
    assert (error.parameter, SECRET in str(error)) == ("source", False)
    refused(Source.parse, f"s3://b-1/{braces * 10_000}")


@given(st.text("aB/*?[]!", max_size=8), st.text("abAB/", max_size=8))
def test_ignoring_case_is_to_match_what_lower_case_matches(glob, key):
    ignoring = Source.parse(f"s3://b-1/(?i){glob}")
    lower = Source.parse(f"s3://b-1/?/{glob.lower()}")
    assert ignoring.matches(key) == lower.matches("x/" + key.lower()) or not re.search(r"[*?\[]", glob)


def test_no_key_holds_up_a_glob():
    key = "a/" * 200 + "_" * 600
    for glob in (
        "**/*_*_*_*_*_*_*_*.jpg",
        "**a**a**a**a**a**b",
        "**/a/**/a/**/a/**/*_*_*b",
        "*" * 50 + "b",
        "(?i)**/*_*_*_*_*_*_*_*.jpg",
    ):
        assert not Source.parse(f"s3://b-1/{glob}").matches(key)  # it would not end in this century


def wildcards_match(glob: str, key: str) -> bool:
    """The plainest meaning of ``*``, ``?``, ``**`` and ``**/``, as slow as it is."""
    if not glob:
        return not key
    if glob.startswith("**/"):
        rest = glob[3:]
        return wildcards_match(rest, key) or any(
            wildcards_match(rest, key[at + 1 :]) for at, character in enumerate(key) if character == "/"
        )
    if glob.startswith("**"):
        return any(wildcards_match(glob[2:], key[at:]) for at in range(len(key) + 1))
    if glob[0] == "*":
        stem = key.partition("/")[0]
        return any(wildcards_match(glob[1:], key[at:]) for at in range(len(stem) + 1))
    return (
        bool(key) and (glob[0] == key[0] or (glob[0] == "?" and key[0] != "/")) and wildcards_match(glob[1:], key[1:])
    )


PIECES = {
    "a": st.just("a"),
    "b": st.just("b"),
    "/": st.just("/"),
    "?": st.sampled_from("ab/"),
    "*": st.text("aab/", max_size=3),
    "**": st.text("aab//", max_size=4),
    "/**/": st.sampled_from(["/", "/a/", "/b/a/", "//", "/a"]),
}


@st.composite
def globs_and_keys(draw) -> tuple[str, str]:
    """A glob, and a key that it matches or nearly does: random pairs would hardly ever match."""
    pieces = draw(st.lists(st.sampled_from(list(PIECES)), min_size=1, max_size=8))
    return "".join(pieces), "".join(draw(PIECES[piece]) for piece in pieces)


def is_read_the_same_way(glob: str) -> bool:
    """Whether the plain meaning reads the glob as it is meant: no three stars, ``**/`` only where a folder begins."""
    return not re.search(r"\*\*\*|[^/]\*\*/|/$|^[^*?]*$", glob)


@settings(max_examples=3 * settings.default.max_examples)  # globs have many shapes
@given(globs_and_keys().filter(lambda pair: is_read_the_same_way(pair[0])))
@example(("**/a*b", "a/ab"))
@example(("*a*/**/b", "aa/b"))
def test_globs_mean_what_the_plain_meaning_says(pair):
    glob, key = pair
    assert Source.parse(f"s3://b-1/{glob}").matches(key) == wildcards_match(glob, key)


@given(
    st.text("ab/*?[]{},!-", max_size=12).filter(lambda path: "[b-a" not in path), st.text("ab/*?[]{},!-", max_size=12)
)
def test_any_glob_is_refused_or_matches_only_keys_under_its_prefix(path, key):
    try:
        source = Source.parse(f"s3://b-1/{path}")
    except ConfigurationError as error:
        assert error.parameter == "source"  # noqa: PT017  it may or may not raise
    else:
        assert not source.matches(key) or key.startswith(source.prefix)


# --- disjointness -------------------------------------------------------------------------------------------------

FINE = {
    "source": "s3://scans/incoming/",
    "destination": "s3://lake/books/",
    "dead_letter": "s3://lake/dead/books/",
    "state": None,
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"state": "s3://lake/books/_aigen/"},
        {"state": "s3://lake/books"},
        {"state": "s3://lake/books/fields2/"},
        {"state": "s3://other/x"},
        {"source": "s3://lake/book/", "dead_letter": "s3://lake/books2/"},
        {"source": "s3://lake/a", "destination": "s3://lake/ab"},
        {"source": "s3://lake/books-*.jpg"},
        {"source": "s3://lake/*.jpg", "destination": "s3://other/a", "dead_letter": "s3://other/b"},
    ],
)
def test_disjoint(changed):
    check_disjoint(FINE | changed)


@pytest.mark.parametrize(
    ("changed", "first", "second"),
    [
        ({"source": "s3://lake"}, "source", "destination"),
        ({"source": "s3://lake/books"}, "source", "destination"),
        ({"source": "s3://lake/books/in/"}, "source", "destination"),
        ({"source": "s3://lake/b*"}, "source", "destination"),
        ({"source": "s3://lake/**/*.jpg"}, "source", "destination"),
        ({"source": "s3://lake/books/scan.jpg"}, "source", "destination"),
        ({"source": "s3://lake/dead/"}, "source", "dead_letter"),
        ({"dead_letter": "s3://lake/books/dead/"}, "destination", "dead_letter"),
        ({"destination": "s3://lake/dead/"}, "destination", "dead_letter"),
        ({"destination": "s3://lake/dead/books"}, "destination", "dead_letter"),
        ({"state": "s3://scans/"}, "source", "state"),
        ({"state": "s3://scans/incoming/state"}, "source", "state"),
        ({"state": "s3://lake/dead/books/state"}, "dead_letter", "state"),
        ({"state": "s3://lake/"}, "destination", "state"),
        ({"state": "s3://lake/books/fields/"}, "destination", "state"),
        ({"state": "s3://lake/books/records/"}, "destination", "state"),
        ({"state": "s3://lake/books/runs/aigen/"}, "destination", "state"),
        ({"state": "s3://lake/books/documents/x"}, "destination", "state"),
    ],
)
def test_overlaps_name_both_parameters(changed, first, second):
    error = refused(check_disjoint, FINE | changed)
    assert {error.parameter} <= {first, second}
    assert first in str(error)
    assert second in str(error)
    assert "lake" not in str(error)


@pytest.mark.parametrize("parameter", FINE)
def test_each_uri_is_checked_under_its_own_name(parameter):
    assert refused(check_disjoint, FINE | {parameter: "s3://x"}).parameter == parameter


def test_uris_after_one_that_is_not_given_are_checked_too():
    error = refused(check_disjoint, {"source": None, "destination": "s3://lake/a/", "dead_letter": "s3://lake/a/b/"})
    assert "destination" in str(error)
    assert "dead_letter" in str(error)


PATHS = st.lists(st.sampled_from(["a", "b", "ab", "*"]), max_size=3).map("/".join)


@given(PATHS, PATHS, st.booleans())
def test_overlap_is_symmetric(one, other, same_bucket):
    def overlap(**uris: str) -> bool:
        try:
            check_disjoint(uris)
        except ConfigurationError:
            return True
        return False

    first, second = f"s3://lake/{one}", f"s3://{'lake' if same_bucket else 'pond'}/{other}"
    both = overlap(destination=first, dead_letter=second)
    assert both == overlap(destination=second, dead_letter=first)
    assert both == overlap(dead_letter=second, destination=first)
    assert same_bucket or not both
    if "*" not in one + other:
        assert both == overlap(source=first, destination=second) == overlap(source=second, destination=first)


# --- codes in paths -----------------------------------------------------------------------------------------------
