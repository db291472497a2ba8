"""Prints the resources of a folder as Terraform's own parser reads them, once all expressions are worked out."""
import json
import sys

import tfparse

print(json.dumps(tfparse.load_from_path(sys.argv[1])))
