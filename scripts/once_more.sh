# To be sourced.

# Runs pytest with these arguments, by `$RUN` if that is set. Some tests measure times of a second or less, which what runs
# beside them can spoil: what failed is run once more, with nothing beside it.
once_more() {
    local run=${RUN:-.venv/bin/python}
    $run -m pytest "$@" && return
    echo "Once more, with nothing beside it, what failed:"
    # Whole folders are left out then, and modules come to be imported in another order than they are announced in.
    $run -m pytest "$@" -n 0 -W ignore::pytest.PytestAssertRewriteWarning \
        --last-failed --last-failed-no-failures=none
}
