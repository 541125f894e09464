"""`python -m training_service`."""

import sys

from training_service.main import main

sys.exit(main())
