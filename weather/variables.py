"""Variables, their levels, units and physical bounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """One of the nine variables.

    Attributes:
        unit: of the values, without conversion anywhere.
        standard_name: of the CF conventions.
        has_levels: on pressure levels, else at the surface (level 0).
    """

    name: str
    unit: str
    standard_name: str
    has_levels: bool


VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("2t", "K", "air_temperature", False),
        Variable("10u", "m s-1", "eastward_wind", False),
        Variable("10v", "m s-1", "northward_wind", False),
        Variable("msl", "Pa", "air_pressure_at_mean_sea_level", False),
        Variable("t", "K", "air_temperature", True),
        Variable("u", "m s-1", "eastward_wind", True),
        Variable("v", "m s-1", "northward_wind", True),
        Variable("q", "kg kg-1", "specific_humidity", True),
        Variable("z", "m2 s-2", "geopotential", True),
    )
}
LEVELS = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)

_FIXED_BOUNDS: dict[str, tuple[float, float]] = {
    "2t": (170.0, 340.0),
    "10u": (-90.0, 90.0),
    "10v": (-90.0, 90.0),
    "msl": (85_000.0, 110_500.0),
    "q": (-0.0005, 0.04),
}
_LEVEL_BOUNDS: dict[int, dict[str, tuple[float, float]]] = {
    1000: {"t": (190.0, 335.0), "z": (-12_000.0, 8_000.0)},
    925: {"t": (190.0, 330.0), "z": (-5_000.0, 14_000.0)},
    850: {"t": (190.0, 325.0), "z": (6_000.0, 20_000.0)},
    700: {"t": (190.0, 310.0), "z": (20_000.0, 34_000.0)},
    600: {"t": (190.0, 300.0), "z": (31_000.0, 47_500.0)},
    500: {"t": (190.0, 290.0), "z": (44_000.0, 60_500.0)},
    400: {"t": (185.0, 280.0), "z": (59_000.0, 79_000.0)},
    300: {"t": (180.0, 265.0), "z": (75_000.0, 100_000.0)},
    250: {"t": (175.0, 260.0), "z": (86_000.0, 112_000.0)},
    200: {"t": (175.0, 255.0), "z": (100_000.0, 127_000.0)},
    150: {"t": (170.0, 255.0), "z": (115_000.0, 146_000.0)},
    100: {"t": (165.0, 255.0), "z": (137_000.0, 169_000.0)},
    50: {"t": (160.0, 260.0), "z": (175_000.0, 212_000.0)},
}


def check_field(variable: str, level: int) -> Variable:
    """Return the variable of a field; ValueError for one that there is not (surface fields have level 0)."""
    known = VARIABLES.get(variable)
    if known is None or level not in (LEVELS if known.has_levels else (0,)):
        raise ValueError(f"there is no field {variable} at level {level}")
    return known


def bounds(variable: str, level: int) -> tuple[float, float]:
    """Least and greatest value that truth, references and inputs may take, in the unit of the variable."""
    check_field(variable, level)
    speed = 80.0 if level >= 850 else 110.0 if level >= 500 else 150.0
    known = _FIXED_BOUNDS | _LEVEL_BOUNDS.get(level, {})
    return known.get(variable, (-speed, speed))
