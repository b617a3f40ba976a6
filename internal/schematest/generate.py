"""Writes JSON Schemas of OCSF with the generator of package ocsf-json-schema.

Arguments: the package's archive, the folder to write into, then versions.
Of each version it writes schema.json, as the server of OCSF exports it, and a
JSON Schema of class detection_finding for each set of profiles.
"""

import json
import os
import sys

if sys.version_info < (3, 10):
    sys.exit("Python 3.10 or later is needed, this is %d.%d" % sys.version_info[:2])

archive, folder, versions = sys.argv[1], sys.argv[2], sys.argv[3:]
sys.dont_write_bytecode = True
sys.path.insert(0, archive)

import zipfile  # noqa: E402

from ocsf_json_schema.embedded import OcsfJsonSchemaEmbedded  # noqa: E402

for version in versions:
    with zipfile.ZipFile(archive) as z:
        exported = z.read("ocsf_json_schema/ocsf/%s.json" % version)
    out = os.path.join(folder, version)
    os.makedirs(out)
    with open(os.path.join(out, "schema.json"), "wb") as f:
        f.write(exported)
    made = OcsfJsonSchemaEmbedded(json.loads(exported))
    for profiles in ([], ["incident"]):
        name = "+".join(["detection_finding"] + profiles) + ".json"
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(made.get_class_schema("detection_finding", profiles), f, sort_keys=True)
