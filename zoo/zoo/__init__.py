"""Kerazoo: from a name, to a trained model, to a verified artifact on an edge device.

    >>> import zoo
    >>> zoo.list_models("bert-t*")
    ['bert-tiny']

Everything public is found here and imported on first use, so that ``import zoo`` costs
milliseconds.
"""

from typing import Any

from zoo_system.faces import face

_public, __dir__, __all__ = face(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("kerazoo")
    return _public(name)
