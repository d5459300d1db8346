"""A small identity provider of Authlib's: `python -m tests.stack.identity_provider PORT`.

OpenID Connect as Feast asks for it: a discovery document, tokens for a user's password or for a
client's secret, and the key that they are signed with.
"""

from __future__ import annotations

import os
import sys
from typing import Any

CLIENT, SECRET = "feast", "the-secret-of-feast"
# Who there is: password, and roles.
USERS = {"ana": ("the-password-of-ana", ["engineer"]), "ben": ("the-password-of-ben", ["reader"]),
         "eve": ("the-password-of-eve", [])}  # fmt: skip


class Client:
    """Feast, as the provider knows it: with a secret, for both grants."""

    client_id = CLIENT

    def get_client_id(self) -> str:
        return CLIENT

    def check_client_secret(self, secret: str) -> bool:
        return secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_post"

    def check_grant_type(self, kind: str) -> bool:
        return kind in ("password", "client_credentials")

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""


class User:
    def __init__(self, name: str) -> None:
        self.name = name

    def get_user_id(self) -> str:
        return self.name


def app(issuer: str) -> Any:
    """Its routes; each process has a key of its own."""
    from authlib.integrations.flask_oauth2 import AuthorizationServer
    from authlib.oauth2.rfc6749 import grants
    from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
    from flask import Flask, jsonify
    from joserfc.jwk import KeySet, RSAKey

    key = RSAKey.generate_key(2048, {"alg": "RS256", "use": "sig"}, auto_kid=True)

    class Password(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)

        def authenticate_user(self, username: str, password: str) -> User | None:
            known = USERS.get(username)
            return User(username) if known is not None and known[0] == password else None

    class Credentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)

    class Tokens(JWTBearerTokenGenerator):  # type: ignore[misc]
        def get_jwks(self) -> Any:
            return KeySet([key])  # of a set, the token names the key

        def get_extra_claims(self, client: Any, kind: str, user: Any, scope: str) -> dict[str, Any]:
            name = user.name if user else client.client_id
            return {"preferred_username": name, "roles": USERS.get(name, ("", []))[1]}

    made = Flask(__name__)
    server = AuthorizationServer(made, lambda name: Client() if name == CLIENT else None,
                                 lambda token, request: None)  # fmt: skip
    for grant in (Password, Credentials):
        server.register_grant(grant)
    server.register_token_generator("default", Tokens(issuer=issuer, alg="RS256"))
    told = {"issuer": issuer, "jwks_uri": f"{issuer}/keys", "token_endpoint": f"{issuer}/token",
            "authorization_endpoint": f"{issuer}/authorize"}  # fmt: skip
    keys = {"keys": [key.as_dict(private=False)]}
    made.add_url_rule("/token", "token", server.create_token_response, methods=["POST"])
    made.add_url_rule("/keys", "keys", lambda: jsonify(keys))
    made.add_url_rule("/.well-known/openid-configuration", "told", lambda: jsonify(told))
    return made


if __name__ == "__main__":
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the loopback's
    port = int(sys.argv[1])
    app(f"http://127.0.0.1:{port}").run("127.0.0.1", port, threaded=True)
