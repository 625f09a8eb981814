"""What a tenant's settings add to every mapping: how to read a value that does not say it itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pycountry

from domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class MappingContext:
    """Defaults for values that leave something unsaid.

    ``default_country`` (ISO 3166 alpha-2) reads national phone numbers and decides whether 03/04 is March or April;
    ``default_currency`` (ISO 4217) names the currency of an amount without one; ``time_zone`` (IANA) is where a time
    without a zone was written. Raises ConfigurationError for a name that does not exist.
    """

    default_country: str = "US"
    default_currency: str = "USD"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if pycountry.countries.get(alpha_2=self.default_country) is None:
            raise ConfigurationError(
                f"The default country {self.default_country!r} is not an ISO 3166 code.",
                remedy="Give two capital letters, such as DE or US.",
            )
        if len(self.default_currency) != 3 or not self.default_currency.isupper():
            raise ConfigurationError(
                f"The default currency {self.default_currency!r} is not an ISO 4217 code.",
                remedy="Give three capital letters, such as EUR or USD.",
            )
        _zone(self.time_zone)

    @property
    def zone(self) -> tzinfo:
        """The time zone as an object."""
        return _zone(self.time_zone)

    @property
    def month_first(self) -> bool:
        """Whether 03/04/2024 is written for the 4th of March here."""
        return self.default_country in ("US", "PH", "FM", "MH", "PW")


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"The time zone {name!r} does not exist.", remedy="Give an IANA name, such as Europe/Berlin."
        ) from error
