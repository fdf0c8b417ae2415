"""The only place that touches what scikit-learn keeps private."""

import threading

from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

__all__ = ["HasMethods", "Interval", "StrOptions", "warning_filters"]

# Held wherever scikit-learn checks an array: it swaps the warning filters of the whole process for
# the duration, and of two threads side by side one would put back the other's.
warning_filters = threading.RLock()
