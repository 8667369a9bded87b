#!/bin/sh
# What a POSIX shell reads: nested substitutions, several here-documents in a line, pipelines over lines.
total=0
for file in *.txt ./-odd\ name "with \"quotes\""
do
    test -f "$file" || continue
    lines=`wc -l < "$file" | tr -d ' '`
    nested=`echo \`basename "$file" .txt\``
    total=$((total + ${lines:-0}))
    echo "$nested: $lines" |
        sed 's/[^:]*: \(.*\)/\1/' |

        awk '{ sum += $1 } END { printf "%d\n", sum }'
done
paste -d, /dev/fd/3 /dev/fd/4 3<<ONE 4<<"TWO"
$total of $(ls | wc -l)
${total:+some}
ONE
$total stays ) as " it is
TWO
if ! { [ "$total" -gt 0 ] && [ -n "${1+set}" ]; }; then
    ( exec 2>&1; echo none ) || :
elif case $1 in a) true;; (b|c) false;; esac; then echo "${1#${1%?}}"
else until false; do break; done
fi
f() ( cd / && pwd ) >/dev/null; f & wait $!
echo a\
b "c\
d" 'e
f' # the end
