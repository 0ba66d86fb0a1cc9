#compdef cvbake
# The program is asked: it answers with a candidate a line, and what that is behind a tab. Where more is to follow, such as a path
# behind oci:, no space is put behind it.
_cvbake() {
    local line value
    local -a answers open open_text whole whole_text
    answers=("${(@f)$(CVBAKE_COMPLETE=zsh CVBAKE_COMPLETE_INDEX=$((CURRENT - 1)) cvbake -- "${(@Q)words}" 2>/dev/null)}")
    for line in "${answers[@]}"; do
        value=${line%%$'\t'*}
        if [[ -z $value ]]; then
            continue
        elif [[ $value == *[/:=] ]]; then
            open+=("$value") open_text+=("${line/$'\t'/  -- }")
        else
            whole+=("$value") whole_text+=("${line/$'\t'/  -- }")
        fi
    done
    (($#open)) && compadd -V values -S '' -l -d open_text -a open
    (($#whole)) && compadd -V values -l -d whole_text -a whole
    (($#open + $#whole))
}
if [[ $funcstack[1] == _cvbake ]]; then
    _cvbake "$@"
else
    compdef _cvbake cvbake
fi
