"""`python -m model_service`."""

import sys

from model_service.main import main

sys.exit(main())
