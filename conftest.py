"""Read before any test.

The folders `servicekit/` and `gateway/` are named like the packages inside them. pytest names a test
module after its path and would put the bare folder where the package belongs, unless that is there.
"""

from hypothesis import settings

import gateway  # noqa: F401
import servicekit  # noqa: F401

# A busy machine is no counterexample.
settings.register_profile("sixfold", deadline=None)
settings.load_profile("sixfold")
