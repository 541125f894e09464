"""`python -m retrieval_service`."""

import sys

from retrieval_service.main import main

sys.exit(main())
