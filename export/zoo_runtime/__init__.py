"""What a device has: bundles are loaded, verified and asked, with NumPy and one runtime.

Everything is loaded on first use.
"""

from zoo_system.faces import face

__getattr__, __dir__, __all__ = face(__name__, __file__)
