"""matplotlib, where it is there."""


def import_pyplot():
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "drawing needs matplotlib; install it with: pip install 'skdeepclust[plot]'"
        ) from error
    return plt
