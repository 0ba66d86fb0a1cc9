# Bash takes words apart at the characters of COMP_WORDBREAKS, among them the colons of image names and of oci:DIR. Here they are put
# together again for cvbake, and what it answers loses what bash has as words of their own.
_cvbake() {
    local rest=${COMP_LINE:0:COMP_POINT} words=() at word spaces breaks= prefix= candidate
    for ((at = 0; at <= COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        spaces=${rest%%[![:space:]]*}
        rest=${rest#"$spaces"}
        if ((at == COMP_CWORD)); then
            word=$rest
        fi
        if [[ -n $spaces ]] || ((at == 0)); then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${rest#"$word"}
    done
    word=${words[${#words[@]} - 1]}
    for at in : = @; do
        if [[ $COMP_WORDBREAKS == *"$at"* ]]; then
            breaks+=$at
        fi
    done
    if [[ -n $breaks ]]; then
        prefix=${word%"${word##*[$breaks]}"}
    fi
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$prefix"}")
    done < <(CVBAKE_COMPLETE=bash CVBAKE_COMPLETE_INDEX=$((${#words[@]} - 1)) cvbake -- "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/:=] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o nosort -F _cvbake cvbake 2>/dev/null || complete -F _cvbake cvbake
