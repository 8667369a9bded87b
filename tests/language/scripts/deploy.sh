#!/usr/bin/env bash
# Options, functions, here-documents, traps: what a deployment script has.
set -euo pipefail
IFS=$'\n\t'

readonly here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
declare -A hosts=([web]="10.0.0.1 10.0.0.2" [db]='10.0.0.3')
declare -a steps=(build "pack up" 'push $it')
dry=false verbose=${VERBOSE:-0}

usage() {
  cat <<-EOF
	usage: ${0##*/} [-n] [-v] target...
	  -n  say what would be done ('quotes' and "quotes" and `date +%Y` stay text)
	EOF
  cat <<'EOF'
$not ${expanded} `at all` \
EOF
}

while getopts ':nvh' option; do
  case $option in
    n) dry=true ;;
    v) ((verbose += 1)) ;;
    h | \?) usage; exit $((${#option} > 1 ? 2 : 0)) ;;
    *) echo "unknown: -$OPTARG" >&2 && exit 2 ;;
  esac
done
shift $((OPTIND - 1))

run() {
  local -i status=0
  if [[ $dry == true ]]; then printf '%q ' "$@"; echo; return; fi
  "$@" || status=$?
  return "$status"
}

trap 'rm -rf -- "${work:-/nonexistent}"; [[ $? -eq 0 ]] || echo "failed in line $LINENO" >&2' EXIT
work=$(mktemp -d "${TMPDIR:-/tmp}/deploy.XXXXXX")

for step in "${steps[@]}"; do
  for ((i = 0, n = ${#steps[@]}; i < n; i++)); do
    [[ ${steps[i]} == "$step" ]] && index=$i
  done
  run echo "step $((index + 1)) of ${#steps[@]}: ${step^^}" # a comment with an odd ' quote
done

while IFS='=' read -r key value; do
  [[ $key =~ ^([A-Za-z_][A-Za-z0-9_]*)$ ]] || continue
  printf '%s\n' "${BASH_REMATCH[1]}=${value//\"/\\\"}"
done < <(env | sort) > "$work/environment"

select_host() { local name=$1; set -- ${hosts[$name]:?no such target: $name}; echo "${!#}"; }
for target; do
  run ssh "$(select_host "$target")" "cd '$here' && ./activate ${target@Q}" 2>&1 | tee -a "$work/log"
done
