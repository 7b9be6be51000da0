"""Energy and carbon dioxide of a training, by codecarbon and without a network."""

from __future__ import annotations

import logging
import time
from typing import Any

from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import Energy

COUNTRY_VARIABLE = "CODECARBON_COUNTRY_ISO_CODE"
_PARTS = ("cpu", "gpu", "ram")
# Words with which codecarbon describes what reads a meter; all else is a model of what is used.
_METERS = ("Rapl", "Emi", "Gadget", "AppleSiliconChip", "Raspberry", "GPU")


def check_country(country: str) -> None:
    """Refuse a country whose grid is not known, before anything is trained.

    Args:
        country: Three letters, ISO 3166.

    Raises:
        UsageError: No such country.
        ZooError: codecarbon is not installed.
    """
    try:
        from codecarbon.input import DataSource
    except ImportError as error:
        raise ZooError("codecarbon is not installed: pip install 'kerazoo[energy]'.") from error
    known = DataSource().get_global_energy_mix_data()
    if country not in known:
        raise UsageError(
            f"Country '{country}' is not one whose grid is known: give the three capital letters "
            "of ISO 3166, such as DEU."
        )


class EnergyMeter:
    """Measures from its beginning on.

    Args:
        country: Of whose grid the energy comes, three letters.

    Raises:
        UsageError: No such country.
        ZooError: codecarbon is not installed.
    """

    def __init__(self, country: str) -> None:
        check_country(country)
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        from codecarbon import OfflineEmissionsTracker
        from codecarbon.output import BaseOutput

        self.country = country
        totals = BaseOutput()
        totals.out = self._keep
        # All said here, so that a user's own settings cannot make it write a file or call a host.
        self.tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            cloud_provider=None,
            electricitymaps_api_token="",
            emissions_endpoint=None,
            output_methods=[],
            output_handlers=[totals],
            tracking_mode="process",
            measure_power_secs=5,
            allow_multiple_runs=True,
            log_level="critical",
        )
        self.tracker.start()
        self.began = time.monotonic()

    def read(self, before: Energy | None) -> Energy:
        """Return what was used until now, with what had been used before.

        Args:
            before: What this returned in the part of the training before this one.
        """
        self.tracker.flush()
        found = self.found
        before = before or Energy()
        by_part = {part: getattr(found, f"{part}_energy") for part in _PARTS}
        old = before.kwh_by_part
        return Energy(
            kwh=before.kwh + found.energy_consumed,
            kwh_by_part={part: old.get(part, 0) + kwh for part, kwh in by_part.items()},
            kg_co2eq=before.kg_co2eq + found.emissions,
            seconds=round(before.seconds + time.monotonic() - self.began, 3),
            country=self.country,
            found_by=self.found_by(),
        )

    def found_by(self) -> str:
        """Return in words what was measured and what was estimated."""
        from importlib.metadata import version

        parts = [_how(hardware.description()) for hardware in self.tracker._hardware]
        return f"codecarbon {version('codecarbon')}: {', '.join(parts)}"

    def stop(self) -> None:
        """Stop measuring."""
        self.tracker.stop()

    def _keep(self, total: Any, delta: Any) -> None:
        self.found = total


def _how(description: str) -> str:
    """Return what codecarbon says of a part, with whether it reads a meter.

    Example:
        >>> _how("CPU(Intel Rapl)"), _how("CPU(Cpu Load)"), _how("RAM()")
        ('CPU measured (Intel Rapl)', 'CPU estimated (Cpu Load)', 'RAM estimated')
    """
    part, _, means = description.rstrip(")").partition("(")
    how = "measured" if any(meter in description for meter in _METERS) else "estimated"
    return f"{part} {how}" + (f" ({means})" if means else "")
