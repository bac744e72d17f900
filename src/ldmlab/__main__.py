"""`python -m ldmlab` is the same as `ldmlab`."""

import sys

from ldmlab.cli.main import main

sys.exit(main())
