"""What follows a training beside its run folder: energy, MLflow, and what plugins bring."""

# Of the environment: of whose grid the energy of a training comes.
COUNTRY_VARIABLE = "CODECARBON_COUNTRY_ISO_CODE"
