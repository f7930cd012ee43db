"""The notation of InfluxDB line protocol."""

import pytest

from simulator.line_protocol import parse_lines
from simulator.model import FieldValue

NOW = 1_000


@pytest.mark.parametrize(
    ("text", "measurement", "tags", "fields", "time_ns"),
    [
        ("m f=1", "m", {}, {"f": 1.0}, NOW),
        ("m f=1 5", "m", {}, {"f": 1.0}, 5),
        ("m f=1 -5", "m", {}, {"f": 1.0}, -5),
        ("m  f=1  5 ", "m", {}, {"f": 1.0}, 5),
        ("m,a=b,c=d f=1,g=2 5", "m", {"a": "b", "c": "d"}, {"f": 1.0, "g": 2.0}, 5),
        (r"a\ b\,c=d f=1", "a b,c=d", {}, {"f": 1.0}, NOW),
        (r"m,a\ b=c\,d\=e f\ g=1", "m", {"a b": "c,d=e"}, {"f g": 1.0}, NOW),
        (r"m,path=C:\dir f=1", "m", {"path": r"C:\dir"}, {"f": 1.0}, NOW),
        (r"m,path=C:\\dir\\ f=1", "m", {"path": "C:\\dir\\"}, {"f": 1.0}, NOW),
        (r'm f="a \"b\" \\ \n c, d=e"', "m", {}, {"f": r'a "b" \ \n c, d=e'}, NOW),
        ('m f="two\nlines",g=1 5', "m", {}, {"f": "two\nlines", "g": 1.0}, 5),
        ('m f=""', "m", {}, {"f": ""}, NOW),
        ("m f=-1.5e-07", "m", {}, {"f": -1.5e-07}, NOW),
        ("m f=.5,g=1.", "m", {}, {"f": 0.5, "g": 1.0}, NOW),
        ("m f=-9223372036854775808i", "m", {}, {"f": -(2**63)}, NOW),
        (
            "m f=t,g=F,h=TRUE,i=false",
            "m",
            {},
            {"f": True, "g": False, "h": True, "i": False},
            NOW,
        ),
        ("mätning,tåg=ü f=1", "mätning", {"tåg": "ü"}, {"f": 1.0}, NOW),
    ],
)
def test_line(
    text: str,
    measurement: str,
    tags: dict[str, str],
    fields: dict[str, FieldValue],
    time_ns: int,
) -> None:
    [point] = parse_lines(text, "db", "rp", NOW)
    assert (point.series.database, point.series.retention_policy) == ("db", "rp")
    assert point.series.measurement == measurement
    assert dict(point.series.tags) == tags
    assert point.fields == fields
    assert list(map(type, point.fields.values())) == list(map(type, fields.values()))
    assert point.time_ns == time_ns


def test_several_lines() -> None:
    points = parse_lines(
        "# comment\n\nm,b=2,a=1 f=1 1\r\n  \nm f=2 2\n# m f=3\nm f=4 4", "db", "rp", NOW
    )
    assert [(point.fields["f"], point.time_ns) for point in points] == [
        (1.0, 1),
        (2.0, 2),
        (4.0, 4),
    ]
    assert points[0].series.tags == (("a", "1"), ("b", "2"))
    assert parse_lines("", "db", "rp", NOW) == []
