"""Export of Keras models to verified files, and the runtime that needs no Keras.

Everything is loaded on first use: reading a bundle imports neither TensorFlow nor Keras.
"""

from zoo_system.faces import face

__getattr__, __dir__, __all__ = face(__name__, __file__)
