# Completion of the command in bash. It asks `eckart --help` and `eckart COMMAND --help`, so that it knows what the
# installed version knows; nothing is listed here.

# Words of the first column under the heading "Commands".
_eckart_commands()
{
    "$1" --help 2>/dev/null | sed -n '/^Commands$/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'
}

# Every long option of a command.
_eckart_options()
{
    "$1" "$2" --help 2>/dev/null | sed -n 's/^  \(-[a-zA-Z], \|    \)\(--[a-z-]*\).*/\2/p'
}

# What an option takes, as the help shows it: "K", "auto|svd"; nothing for a flag.
_eckart_argument()
{
    "$1" "$2" --help 2>/dev/null |
        sed -n "s/^  \(-[a-zA-Z], \|    \)\(--[a-z-]*\) \([^ ]*\).*/\1 \2 \3/p" |
        awk -v option="$3" '$1 == option "," || $1 == option || $2 == option { print $NF; exit }'
}

_eckart()
{
    local eckart=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} argument
    local command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_eckart_commands "$eckart") help --help --version" -- "$current")
        return
    fi
    # "--name=value" arrives as three words.
    if [ "$current" = = ]; then
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $previous in
    -*) argument=$(_eckart_argument "$eckart" "$command" "$previous") ;;
    esac
    case $argument in
    '' | --*) ;;
    *'|'[a-z]*)
        mapfile -t COMPREPLY < <(compgen -W "${argument//|/ }" -- "$current")
        return
        ;;
    FILE | OUT | DENSE | DIR)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    *) return ;;
    esac
    case $current in
    -*) mapfile -t COMPREPLY < <(compgen -W "$(_eckart_options "$eckart" "$command")" -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}

complete -o filenames -F _eckart eckart
