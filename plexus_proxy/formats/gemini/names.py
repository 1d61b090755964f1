"""Names of models as Google's paths write them."""

_COLLECTIONS = ("models/", "tunedModels/")


def qualified(model: str) -> str:
    """The model with its collection: `models/gemini-2.5-pro`."""
    return model if model.startswith(_COLLECTIONS) else f"models/{model}"
