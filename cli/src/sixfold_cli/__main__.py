import sys

from sixfold_cli.main import main

sys.exit(main())
