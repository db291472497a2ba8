# Prints what each step of workflows runs, as JSON: where it stands, for which shell, and the script itself.
import json
import sys

import yaml

runs = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        workflow = yaml.safe_load(file)
    for name, job in workflow["jobs"].items():
        default = job.get("defaults", {}).get("run", {}).get("shell", "bash")
        for number, step in enumerate(job["steps"], start=1):
            if "run" in step:
                where = f"{path}: {name}, step {number}"
                runs.append({"where": where, "shell": step.get("shell", default), "script": step["run"]})
print(json.dumps(runs))
