"""Energy and carbon dioxide of a training, by codecarbon and without a network."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from zoo_recipes.trackers import COUNTRY_VARIABLE
from zoo_recipes.trackers.tracking import TrackedRun, Tracker
from zoo_registry import UsageError, ZooError

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


class Energy(Tracker):
    """Energy and CO2 equivalents, by codecarbon and without a network.

    Args:
        argument: Of whose grid the energy comes, three letters, ISO 3166; by default what the
            environment variable ``CODECARBON_COUNTRY_ISO_CODE`` says.

    Raises:
        UsageError: No such country.
        ZooError: codecarbon is not installed.
    """

    measures = True

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument or os.environ.get(COUNTRY_VARIABLE, ""))
        check_country(self.argument)

    def begin(self, run: TrackedRun) -> None:
        """Measure from now on."""
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        from codecarbon import OfflineEmissionsTracker
        from codecarbon.output import BaseOutput

        self.run, self.before = run, dict(run.note)
        totals = BaseOutput()
        totals.out = self._keep
        # All is set here, so that the user's settings cannot make it write a file or call a host.
        self.meter = OfflineEmissionsTracker(
            country_iso_code=self.argument,
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
        self.meter.start()
        self.began = time.monotonic()

    def update(self) -> None:
        """Note what was used until now, with what had been used before."""
        self.meter.flush()
        found, before = self.found, self.before
        by_part = {part: getattr(found, f"{part}_energy") for part in _PARTS}
        old = before.get("kwh_by_part", {})
        self.run.note |= {
            "kwh": before.get("kwh", 0) + found.energy_consumed,
            "kwh_by_part": {part: old.get(part, 0) + kwh for part, kwh in by_part.items()},
            "kg_co2eq": before.get("kg_co2eq", 0) + found.emissions,
            "seconds": round(before.get("seconds", 0) + time.monotonic() - self.began, 3),
            "country": self.argument,
            "found_by": self.found_by(),
        }

    def found_by(self) -> str:
        """Return in words what was measured and what was estimated."""
        from importlib.metadata import version

        parts = [_how(hardware.description()) for hardware in self.meter._hardware]
        return f"codecarbon {version('codecarbon')}: {', '.join(parts)}"

    def end(self, status: str) -> None:
        """Stop measuring."""
        self.meter.stop()

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
