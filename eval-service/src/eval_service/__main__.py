"""`python -m eval_service`."""

import sys

from eval_service.main import main

sys.exit(main())
