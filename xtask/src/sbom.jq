# Takes out of a document of cargo-cyclonedx what cargo does not build into the program, and where it was built.
# $kept: lines that begin with `NAME vVERSION`, of `cargo tree`; $folder: where the workspace was.

($kept | split("\n") | map(select(. != "") | split(" ")[:2] | join(" ")) | unique) as $kept
| ([.components[] | select("\(.name) v\(.version)" | IN($kept[]) | not) | .["bom-ref"]] | unique) as $gone
| .components |= map(select(.["bom-ref"] | IN($gone[]) | not))
| .dependencies |= map(select(.ref | IN($gone[]) | not))
| .dependencies[] |= if .dependsOn then .dependsOn |= map(select(IN($gone[]) | not)) else . end
| ([.metadata.component, .components[]] | map("\(.name) v\(.version)") | unique) as $listed
| if $listed == $kept then . else error("not told: \($kept - $listed | join(", "))") end
| walk(if type == "string" then split($folder) | join("/irp") else . end)
