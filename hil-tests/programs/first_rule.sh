#!/bin/sh
# A rule of the shell: the update of the first device, whatever the others say. No rule to use, but the shortest program there is.

while read -r line; do
    path() { printf %s "$line" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
    columns=$(printf %s "$line" | sed 's/.*"columns":\([0-9]*\).*/\1/')
    head -c $((4 * columns)) "$(path updates)" > "$(path answer)"
    echo '{"ok":true}'
done
