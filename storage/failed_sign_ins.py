"""How often an address failed to sign in, in the system tenant: one count for all processes that serve the API.

A token bucket an address, which fills again by itself. Whoever tries at the same moment as others may bring it below nothing; that
is paid back before the next try. An address that has been quiet until its bucket was full has no row, and needs none.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from domain.access import SYSTEM_TENANT
from storage.database import Database

_LEFT_NOW = "least(:most, f.tries + :per_s * extract(epoch FROM statement_timestamp() - f.at)::float8)"

_LEFT = f"SELECT {_LEFT_NOW} FROM failed_sign_in f WHERE f.tenant_id = :t AND f.network = :network"

_COUNT = f"""
    WITH full_again AS (
        DELETE FROM failed_sign_in WHERE tenant_id = :t AND network = ANY(ARRAY(
            SELECT network FROM failed_sign_in WHERE tenant_id = :t AND network <> :network
            AND at < statement_timestamp() - make_interval(secs => 2 * :most / :per_s) ORDER BY at LIMIT 2 FOR UPDATE SKIP LOCKED)))
    INSERT INTO failed_sign_in AS f (tenant_id, network, tries, at) VALUES (:t, :network, :most - 1, statement_timestamp())
    ON CONFLICT (tenant_id, network) DO UPDATE SET tries = greatest(-:most, {_LEFT_NOW} - 1), at = statement_timestamp()
    RETURNING tries"""


@dataclass(frozen=True, slots=True)
class Tries:
    """Counts tries: ``most`` in one go, and ``per_s`` for long."""

    db: Database
    most: float
    per_s: float

    def left(self, network: str) -> float:
        """How many tries ``network`` has."""
        with self.db.tenant(SYSTEM_TENANT) as conn:
            found = conn.scalar(text(_LEFT), self._given(network))
        return self.most if found is None else float(found)

    def fail(self, network: str) -> float:
        """Count a try that failed; how many are left. Rows of two others that are full again go."""
        with self.db.tenant(SYSTEM_TENANT) as conn:
            return float(conn.execute(text(_COUNT), self._given(network)).scalar_one())

    def _given(self, network: str) -> dict[str, object]:
        return {"t": SYSTEM_TENANT, "network": network, "most": self.most, "per_s": self.per_s}
