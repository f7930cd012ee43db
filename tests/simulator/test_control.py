"""The control API: the same as the attributes, over HTTP."""

from simulator.server import Simulator

from .conftest import Client
from .test_write import PATH as WRITE, point


async def test_points(client: Client) -> None:
    await client.post(
        WRITE, [point(), point(measurement="other", tags={"a": "b"}, fields={"x": 1})]
    )
    answer = (await client.get("/_simulator/points")).json
    assert answer["total"] == 2
    assert answer["points"][1] == {
        "database": "demo",
        "retention_policy": "rp_one_m",
        "measurement": "other",
        "tags": {"a": "b"},
        "time": "2026-07-01T11:59:00.000Z",
        "time_ns": 1_782_907_140_000_000_000,
        "fields": {"x": 1},
        "types": {"x": "integer"},
        "writes": 1,
    }
    for query, total in (
        ("database=demo&retention_policy=rp_one_m", 2),
        ("measurement=other", 1),
        ("tag.a=b", 1),
        ("tag.a=c", 0),
        ("field=x", 1),
    ):
        assert (await client.get(f"/_simulator/points?{query}")).json["total"] == total
    assert len((await client.get("/_simulator/points?limit=1")).json["points"]) == 1
    assert (await client.request("DELETE", "/_simulator/points")).status == 204
    assert (await client.get("/_simulator/points")).json == {"total": 0, "points": []}


async def test_requests(client: Client) -> None:
    await client.get("/v1/company")
    await client.get("/v1/company?x=1")
    answer = (await client.get("/_simulator/requests?call=GET /v1/company")).json
    assert answer["counts"]["GET /v1/company"] == {"200": 1, "400": 1}
    assert [entry["status"] for entry in answer["requests"]] == [200, 400]
    assert answer["requests"][1]["query"] == [["x", "1"]]
    assert answer["requests"][0]["headers"]["Authorization"] == "(redacted)"
    assert client.token is not None
    assert client.token not in (await client.get("/_simulator/requests")).text
    assert (await client.get("/_simulator/requests?status=400&limit=5")).json[
        "total"
    ] == 1
    assert (await client.get("/_simulator/requests?path=/v1/company&limit=0")).json[
        "requests"
    ] == []
    assert (await client.get("/_simulator/requests?status=x")).status == 400
    await client.request("DELETE", "/_simulator/requests")
    assert (await client.get("/_simulator/requests")).json == {
        "counts": {},
        "total": 0,
        "requests": [],
    }


async def test_passwords_are_not_logged(client: Client) -> None:
    await client.password(password="correct horse")
    assert "correct horse" not in (await client.get("/_simulator/requests")).text


async def test_faults(client: Client) -> None:
    body = {
        "path": "/v1/company",
        "fault": "status",
        "status": 418,
        "retry_after": 2.5,
        "times": None,
    }
    fault = (await client.post("/_simulator/faults", body)).json
    answer = await client.get("/v1/company")
    assert (answer.status, answer.headers["Retry-After"]) == (418, "2.5")
    [listed] = (await client.get("/_simulator/faults")).json["faults"]
    assert listed == {**fault, "hits": 1}
    assert (
        await client.request("DELETE", f"/_simulator/faults/{fault['id']}")
    ).status == 204
    assert (
        await client.request("DELETE", f"/_simulator/faults/{fault['id']}")
    ).status == 404
    assert (await client.get("/v1/company")).status == 200
    await client.post("/_simulator/faults", {"path": "*", "fault": "empty"})
    assert (await client.request("DELETE", "/_simulator/faults")).status == 204
    assert (await client.get("/v1/company")).status == 200


async def test_switches(simulator: Simulator, client: Client) -> None:
    path = "/_simulator/switches"
    body = {
        "quote_tokens": True,
        "code_in_error": True,
        "put_status": 405,
        "time_format": "ms",
        "aggregate_columns": "field",
        "refuse_mixed_select": True,
        "tier_allowed": False,
        "namespaces": [["a", "b"]],
        "max_body": 10,
        "refuse_fields": {"power_W": "string"},
        "max_age_s": 1.5,
        "max_ahead_s": 2,
        "tier": "free",
    }
    assert (await client.post(path, body)).json == body
    assert (await client.get(path)).json == body
    assert simulator.switches.namespaces == {("a", "b")}
    assert simulator.tier == "free"
    assert (await client.post(path, {"put_status": None})).json["put_status"] is None


async def test_accounts(client: Client) -> None:
    accounts = (await client.get("/_simulator/accounts")).json["accounts"]
    assert {"demo@example.com": True, "norole@example.com": False}.items() <= {
        account["username"]: account["can_write"] for account in accounts
    }.items()
    path = "/_simulator/accounts/demo@example.com"
    body = {
        "password": "new",
        "can_write": False,
        "totp_secret": None,
        "email_otp": True,
    }
    changed = (await client.post(path, body)).json
    assert (changed["password"], changed["roles"], changed["email_otp"]) == (
        "new",
        [],
        True,
    )
    assert (await client.post(WRITE, [point()])).status == 403
    assert (await client.password()).status == 401
    assert (await client.password(password="new")).status == 200
    assert (
        await client.post(path, {"can_write": True, "password": None})
    ).status == 200
    assert (await client.password(password="new")).status == 500
    assert (await client.post(path, {"name": "x"})).status == 400
    assert (await client.post("/_simulator/accounts/nobody", {})).status == 404


async def test_revocation(client: Client) -> None:
    path = "/_simulator/accounts/demo@example.com/revoke"
    assert (await client.post(path, {"kind": "partial"})).status == 400
    assert (await client.post(path, {"kind": "access"})).status == 204
    assert (await client.get("/v1/company")).status == 401


async def test_second_factors(client: Client) -> None:
    code = (await client.get("/_simulator/totp/totp@example.com")).json["totp"]
    partial = (await client.password("totp@example.com")).text
    assert (
        await client.post("/user/2fa/totp/authenticate", {"totp": code}, token=partial)
    ).status == 200
    assert (await client.get("/_simulator/totp/demo@example.com")).status == 404
    partial = (await client.password("email@example.com")).text
    await client.post("/user/2fa/email-otp/challenge?language=fr", {}, token=partial)
    [email] = (await client.get("/_simulator/emails?username=email@example.com")).json[
        "emails"
    ]
    assert (email["language"], email["sent"]) == ("fr", "2026-07-01T12:00:00.000Z")
    answer = await client.post(
        "/user/2fa/email-otp/authenticate", {"otp": email["code"]}, token=partial
    )
    assert answer.status == 200
    assert (await client.get("/_simulator/emails?username=x")).json == {"emails": []}


async def test_devices(client: Client) -> None:
    path = "/_simulator/devices"
    assert len((await client.get(path)).json["device"]) == 2
    edited = (
        await client.request(
            "PATCH", f"{path}/2", json={"properties": {"nodeType": "boiler"}}
        )
    ).json
    assert (edited["properties"]["nodeType"], edited["properties"]["name"]) == (
        "boiler",
        "Grid",
    )
    assert (
        await client.request("PATCH", f"{path}/9", json={"properties": {}})
    ).status == 404
    assert (await client.request("PUT", f"{path}/1", json=[None])).status == 204
    assert (await client.get(path)).json["device"][0] == [None]
    assert (await client.request("DELETE", f"{path}/1")).status == 204
    assert (await client.get(path)).json["device"] == [edited]
    assert (await client.request("POST", f"{path}/1/show")).status == 204
    assert len((await client.get(path)).json["device"]) == 2
    assert (await client.request("DELETE", f"{path}/x")).status == 400


async def test_reset(simulator: Simulator, client: Client) -> None:
    await client.post(WRITE, [point()])
    simulator.faults.add("/v1/company", "status")
    simulator.devices.hide(1)
    simulator.limiter.fill(1001, 50)
    assert (await client.request("POST", "/_simulator/reset")).status == 204
    assert (
        len(simulator.store),
        len(simulator.log.requests),
        simulator.limiter.level(1001),
    ) == (0, 0, 0)
    assert len(simulator.devices.all()) == 2
    assert (await client.get("/v1/company")).status == 200
