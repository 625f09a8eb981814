"""OAuth: the consent page (which agrees at once), the token endpoint, and what a token is.

https://developers.hubspot.com/docs/guides/apps/authentication/working-with-oauth
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode

from sandbox.hubspot.auth import oauth_refusal
from sandbox.hubspot.errors import invalid
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply


def register(router: Router) -> None:
    for version in ("v1", "v3"):
        router.add("POST", f"/oauth/{version}/token", "token", anyone=True, free=True)(token)
    router.add("GET", "/oauth/authorize", "authorize", anyone=True, free=True)(authorize)
    router.add("GET", "/oauth/v1/access-tokens/{token}", "token_info", anyone=True, free=True)(about)
    router.add("GET", "/oauth/v1/refresh-tokens/{token}", "token_info", anyone=True, free=True)(about_refresh)
    router.add("DELETE", "/oauth/v1/refresh-tokens/{token}", "token_revoke", anyone=True, free=True)(revoke)


def authorize(call: Call) -> Reply:
    """Sends back to ``redirect_uri`` with a code, as the page does after a click."""
    query = call.request.query
    if query.get("client_id") != call.sandbox.auth.known.client_id:
        raise invalid("client_id is unknown")
    scopes = query.get("scope", "").split()
    code = call.sandbox.auth.authorize(query.get("redirect_uri", ""), scopes, query.get("code_challenge", ""))
    back = {"code": code} | ({"state": query["state"]} if "state" in query else {})
    glue = "&" if "?" in query.get("redirect_uri", "") else "?"
    return Reply(302, headers={"Location": f"{query.get('redirect_uri', '')}{glue}{urlencode(back)}"})


def token(call: Call) -> Reply:
    """Form fields, never JSON. Raises 400."""
    form = {name: values[-1] for name, values in parse_qs(call.request.body.decode()).items()}
    auth = call.sandbox.auth
    if (form.get("client_id"), form.get("client_secret")) != (auth.known.client_id, auth.known.client_secret):
        raise oauth_refusal("BAD_CLIENT_ID", "missing or unknown client id or client secret")
    kind = form.get("grant_type")
    if kind == "authorization_code":
        return Reply(
            json=auth.redeem(form.get("code", ""), form.get("redirect_uri", ""), form.get("code_verifier", ""))
        )
    if kind == "refresh_token":
        return Reply(json=auth.renew(form.get("refresh_token", "")))
    raise oauth_refusal("BAD_GRANT_TYPE", f"missing or unknown grant type: {kind}")


def about(call: Call) -> Reply:
    return Reply(json=call.sandbox.auth.about(call.path["token"]))


def about_refresh(call: Call) -> Reply:
    return Reply(json=call.sandbox.auth.about_refresh(call.path["token"]))


def revoke(call: Call) -> Reply:
    call.sandbox.auth.refreshes.pop(call.path["token"], None)
    return Reply(204)
