"""The resources of the REST API that read: versions, limits, describe, single records.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_list.htm
"""

from __future__ import annotations

from sandbox.kit.wire import Reply
from sandbox.salesforce.describe import describe, global_describe, summary
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.wire import Call, Router

OLDEST, NEWEST = 31, 67
DATA = "/services/data/v{version}"


def register(router: Router) -> None:
    router.add("GET", "/services/data", "versions", anyone=True, free=True)(versions)
    router.add("GET", DATA, "resources")(resources)
    router.add("GET", DATA + "/limits", "limits")(limits)
    router.add("GET", DATA + "/limits/recordCount", "recordCount")(record_count)
    router.add("GET", DATA + "/sobjects", "global_describe")(list_objects)
    router.add("GET", DATA + "/sobjects/{object}", "basic")(basic)
    router.add("GET", DATA + "/sobjects/{object}/describe", "describe")(describe_object)


def versions(_call: Call) -> Reply:
    listed = [
        {"label": f"{_season(n)}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"}
        for n in range(OLDEST, NEWEST + 1)
    ]
    return Reply(json=listed)


def _season(number: int) -> str:
    year = 2014 + (number - 30) // 3
    name = ("Summer", "Winter", "Spring")[(number - 31) % 3]
    return f"{name} '{(year + ((number - 31) % 3 == 1)) % 100:02d}"


def check_version(version: str) -> None:
    """Raises 404 for a version that never was, 410 for one that is retired."""
    number, _, rest = version.partition(".")
    if not number.isdigit() or rest != "0" or int(number) > NEWEST:
        raise ApiError("NOT_FOUND", "The requested resource does not exist", 404)
    if int(number) < OLDEST:
        raise ApiError("UNSUPPORTED_API_VERSION", "This version is no longer supported by the REST API.", 410)


def resources(call: Call) -> Reply:
    names = ("sobjects", "query", "queryAll", "composite", "jobs", "limits")
    return Reply(json={name: f"{call.base}/{name}" for name in names})


def limits(call: Call) -> Reply:
    return Reply(json=call.sandbox.limits.resource())


def record_count(call: Call) -> Reply:
    """Approximate on the real service; here exact, of records that aren't deleted."""
    org = call.sandbox.org
    wanted = call.request.query.get("sObjects")
    names = wanted.split(",") if wanted else [o.name for o in org.visible_objects()]
    known = {o.name.lower(): o.name for o in org.visible_objects()}
    found = [known[name.strip().lower()] for name in names if name.strip().lower() in known]
    return Reply(json={"sObjects": [{"count": len(org.live(name)), "name": name} for name in found]})


def list_objects(call: Call) -> Reply:
    return Reply(json=global_describe(call.sandbox.org, call.version))


def basic(call: Call) -> Reply:
    item = call.sandbox.org.resource(call.path["object"])
    return Reply(json={"objectDescribe": summary(item, call.version), "recentItems": []})


def describe_object(call: Call) -> Reply:
    item = call.sandbox.org.resource(call.path["object"])
    return Reply(json=describe(call.sandbox.org, item, call.version))
