# Completion of a command: extended patterns, arrays, indirect names.
shopt -s extglob

_tool() {
    local cur prev words=() cword=0 split=false
    COMPREPLY=()
    cur="${COMP_WORDS[COMP_CWORD]}" prev=${COMP_WORDS[COMP_CWORD-1]}
    case $prev in
        --@(file|output)?(=*)) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return 0;;
        -!(-*)[cC]) COMPREPLY=( $(compgen -W '$(tool list 2>/dev/null)' -- "${cur}") ); return;;
    esac
    if [[ ${cur} == -* && ( $prev != @(a|b) || -z ${words[*]} ) ]]; then
        COMPREPLY=($(compgen -W "$($1 --help | sed -ne 's/.*\(--[a-z-]*\).*/\1/p')" -- "$cur"))
        [[ ${COMPREPLY-} == *= ]] && compopt -o nospace
        return
    fi
    local -a found; mapfile -t found < <(command ls -1 -- "${cur%%+([^/])}" 2>/dev/null)
    for ((i=0; i<${#found[@]}; ++i)) { COMPREPLY[i]=${found[i]/#~/$HOME}; }
    local IFS=$' \t\n' ref="words[@]"
    printf -v REPLY '%s ' "${!ref}" "${@:2:$#-1}"
} &&
complete -F _tool tool
