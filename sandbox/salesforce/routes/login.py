"""Signing in: SOAP login, the OAuth endpoints, and who one is afterwards.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_login.htm
https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from defusedxml import ElementTree

from sandbox.kit.wire import Reply
from sandbox.salesforce.auth import LOGIN_REFUSED
from sandbox.salesforce.errors import OAuthError, not_found
from sandbox.salesforce.routes.rest import OLDEST
from sandbox.salesforce.wire import Call, Router

FIRST_WITHOUT_LOGIN = 65
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>'
)


def register(router: Router) -> None:
    router.add("POST", r"/services/Soap/[uc]/{version}(?:/\w+)?", "login", anyone=True, free=True)(soap_login)
    router.add("POST", "/services/oauth2/token", "token", anyone=True, free=True)(token)
    router.add("GET POST", "/services/oauth2/authorize", "authorize", anyone=True, free=True)(authorize)
    router.add("GET POST", "/services/oauth2/userinfo", "userinfo", free=True)(userinfo)
    router.add("POST GET", "/services/oauth2/revoke", "revoke", anyone=True, free=True)(revoke)
    router.add("GET", "/id/{org}/{user}", "identity", free=True)(userinfo)


# ---------------------------------------------------------------- SOAP


def soap_login(call: Call) -> Reply:
    """Versions 31.0 to 64.0 only, as https://help.salesforce.com/s/articleView?id=005132110 says."""
    number = call.version.partition(".")[0]
    if not number.isdigit() or not OLDEST <= int(number) < FIRST_WITHOUT_LOGIN:
        return _fault("UNSUPPORTED_API_VERSION", f"SOAP API login() is not available in API version {call.version}")
    try:
        root = ElementTree.fromstring(call.request.body)
    except ElementTree.ParseError:
        return _fault("soapenv:Client", "The markup in the document is not well-formed.")
    username, password = _text(root, "username"), _text(root, "password")
    session = call.sandbox.auth.password_login(username, password, needs_token=_text(root, "organizationId") == "")
    if session is None:
        return _fault("INVALID_LOGIN", LOGIN_REFUSED)
    return _xml(200, _login_result(call, session))


def _text(root: Element, name: str) -> str:
    found = next((item for item in root.iter() if item.tag.rsplit("}", 1)[-1] == name), None)
    return (found.text or "") if found is not None else ""


def _login_result(call: Call, session: str) -> str:
    org, user = call.sandbox.org.organization(), call.sandbox.user()
    server = f"{call.sandbox.instance_url(call)}/services/Soap/u/{call.version}/{org['Id'][:15]}"
    info = {
        "organizationId": org["Id"], "organizationName": org["Name"], "userEmail": user["Email"], "userFullName": user["Name"],
        "userId": user["Id"], "userLanguage": user["LanguageLocaleKey"], "userLocale": user["LocaleSidKey"],
        "userName": user["Username"], "userTimeZone": user["TimeZoneSidKey"], "sessionSecondsValid": "7200",
    }  # fmt: skip
    details = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in info.items())
    return (
        f"<loginResponse><result><metadataServerUrl>{escape(server.replace('/u/', '/m/'))}</metadataServerUrl>"
        f"<passwordExpired>false</passwordExpired><sandbox>false</sandbox><serverUrl>{escape(server)}</serverUrl>"
        f"<sessionId>{escape(session)}</sessionId><userId>{user['Id']}</userId><userInfo>{details}</userInfo></result></loginResponse>"
    )


def _fault(code: str, message: str) -> Reply:
    detail = (
        f'<detail><sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:LoginFault></detail>"
    )
    fault = f"<faultcode>{code}</faultcode><faultstring>{code}: {escape(message)}</faultstring>{detail}"
    return _xml(500, f"<soapenv:Fault>{fault}</soapenv:Fault>")


def _xml(status: int, inner: str) -> Reply:
    return Reply(status, body=_ENVELOPE.format(inner).encode(), content_type="text/xml;charset=UTF-8")


# ---------------------------------------------------------------- OAuth


def token(call: Call) -> Reply:
    """Every grant of the token endpoint. Refusals are ``{"error": …, "error_description": …}``."""
    form = dict(parse_qsl(call.request.body.decode(), keep_blank_values=True)) | dict(call.request.query)
    grant = form.get("grant_type", "")
    handler = _GRANTS.get(grant)
    try:
        if handler is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        refresh = handler(call, form)
    except OAuthError as error:
        return Reply(error.status, {"error": error.error, "error_description": error.description})
    return Reply(200, _token_body(call, refresh))


def _client(call: Call, form: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The app's credentials, from the form or from a Basic header."""
    kind, _, value = call.request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        name, _, secret = base64.b64decode(value).decode().partition(":")
        return name, secret
    return form.get("client_id"), form.get("client_secret")


def _password(call: Call, form: Mapping[str, str]) -> str | None:
    auth = call.sandbox.auth
    auth.check_client(*_client(call, form))
    if auth.password_login(form.get("username", ""), form.get("password", ""), needs_token=False) is None:
        raise OAuthError("invalid_grant", "authentication failure")
    return None


def _client_credentials(call: Call, form: Mapping[str, str]) -> str | None:
    call.sandbox.auth.check_client(*_client(call, form))
    return None


def _refresh(call: Call, form: Mapping[str, str]) -> str | None:
    auth = call.sandbox.auth
    auth.check_client(*_client(call, form), secret_needed=False)
    renewed = auth.use_refresh(form.get("refresh_token", ""))
    return renewed if auth.rotate_refresh_tokens else None


def _code(call: Call, form: Mapping[str, str]) -> str | None:
    auth = call.sandbox.auth
    client_id, secret = _client(call, form)
    auth.check_client(client_id, secret, secret_needed="code_verifier" not in form)
    auth.redeem_code(form.get("code", ""), form.get("redirect_uri", ""), form.get("code_verifier"))
    return auth.issue_refresh()


def _jwt(call: Call, form: Mapping[str, str]) -> str | None:
    audiences = {"https://login.salesforce.com", "https://test.salesforce.com", call.request.base_url.rstrip("/")}
    call.sandbox.auth.check_assertion(form.get("assertion", ""), audiences)
    return None


_GRANTS = {
    "password": _password,
    "client_credentials": _client_credentials,
    "refresh_token": _refresh,
    "authorization_code": _code,
    JWT_BEARER: _jwt,
}


def _token_body(call: Call, refresh: str | None) -> dict[str, Any]:
    sandbox = call.sandbox
    identity = f"{call.request.base_url}/id/{sandbox.org.organization()['Id']}/{sandbox.auth.user_id}"
    issued = str(int(sandbox.clock.now().timestamp() * 1000))
    body = {
        "access_token": sandbox.auth.open_session(),
        "signature": sandbox.auth.signature(identity, issued),
        "scope": "api refresh_token web",
        "instance_url": sandbox.instance_url(call),
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued,
    }
    return body | ({"refresh_token": refresh} if refresh else {})


def authorize(call: Call) -> Reply:
    """The consent page, with consent given: straight back to the app with a code (or with the error of RFC 6749)."""
    asked = call.request.query
    redirect = asked.get("redirect_uri", "")
    if asked.get("client_id") != call.sandbox.auth.credentials.client_id or not redirect:
        return Reply(400, {"error": "invalid_client_id", "error_description": "client identifier invalid"})
    if asked.get("response_type") != "code":
        back = {"error": "unsupported_response_type", "error_description": "response type not supported"}
    else:
        challenge, method = asked.get("code_challenge"), asked.get("code_challenge_method", "S256")
        back = {"code": call.sandbox.auth.issue_code(redirect, challenge, method)}
    if "state" in asked:
        back["state"] = asked["state"]
    joint = "&" if "?" in redirect else "?"
    return Reply(302, headers={"Location": f"{redirect}{joint}{urlencode(back)}"})


def revoke(call: Call) -> Reply:
    form = dict(parse_qsl(call.request.body.decode())) | dict(call.request.query)
    secret = form.get("token", "")
    auth = call.sandbox.auth
    known = secret in auth.sessions or secret in auth.refresh_tokens
    auth.sessions.pop(secret, None)
    auth.refresh_tokens.discard(secret)
    refused = {"error": "unsupported_token_type", "error_description": "this token type is not supported"}
    return Reply(200) if known else Reply(400, refused)


def userinfo(call: Call) -> Reply:
    user, org = call.sandbox.user(), call.sandbox.org.organization()
    if call.path.get("user") not in {None, user["Id"], user["Id"][:15]}:
        raise not_found()
    base = call.request.base_url
    return Reply(
        json={
            "sub": f"{base}/id/{org['Id']}/{user['Id']}",
            "id": f"{base}/id/{org['Id']}/{user['Id']}",
            "asserted_user": True,
            "user_id": user["Id"],
            "organization_id": org["Id"],
            "username": user["Username"],
            "preferred_username": user["Username"],
            "nick_name": user["CommunityNickname"],
            "name": user["Name"],
            "display_name": user["Name"],
            "email": user["Email"],
            "email_verified": True,
            "active": True,
            "user_type": "STANDARD",
            "language": user["LanguageLocaleKey"],
            "locale": user["LocaleSidKey"],
            "timezone": user["TimeZoneSidKey"],
            "zoneinfo": user["TimeZoneSidKey"],
            "urls": {
                "rest": f"{call.sandbox.instance_url(call)}/services/data/v{{version}}/",
                "query": f"{call.sandbox.instance_url(call)}/services/data/v{{version}}/query/",
            },
        }
    )
