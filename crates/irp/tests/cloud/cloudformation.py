"""Runs cfn-lint, which is no module that Python could run by its name."""
import sys

from cfnlint.runner import main

sys.exit(main())
