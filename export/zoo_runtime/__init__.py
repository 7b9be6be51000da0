"""All that a device needs to run a bundle: NumPy and one runtime."""
