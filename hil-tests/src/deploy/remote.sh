# What a deployment does on a device: sh -c THIS hil ACTION ROOT ... Every argument is a plain word; the caller sees to it.
# A release is complete before it gets its name, and `current` always points to a complete one.
set -eu
umask 022
action=$1
root=$2
shift 2
releases=$root/releases
current=$root/current
unit=outpost-edge-client.service

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

is_client() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$current/edge-client "
}

stop_process() {
    pid=$(cat "$root/client.pid" 2>/dev/null || true)
    # The number may belong to somebody else by now.
    if is_client "$pid"; then
        kill "$pid" || true
        tries=0
        while is_client "$pid" && [ "$tries" -lt 100 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        if is_client "$pid"; then kill -9 "$pid" || true; fi
    fi
    rm -f "$root/client.pid"
}

start_process() {
    if [ -f "$root/client.log" ]; then mv -f "$root/client.log" "$root/client.log.old"; fi
    setsid "$current/edge-client" --config "$current/client.toml" </dev/null >"$root/client.log" 2>&1 &
    pid=$!
    printf '%s\n' "$pid" >"$root/client.pid.new"
    mv -f "$root/client.pid.new" "$root/client.pid"
    sleep 1
    # One that has finished a run already has done what it should.
    is_client "$pid" || wait "$pid" || fail "the client ended at once"
}

start_systemd() {
    if ! cmp -s "$current/$unit" "/etc/systemd/system/$unit"; then
        sudo -n /usr/bin/install -m 0644 "$current/$unit" "/etc/systemd/system/$unit"
        sudo -n /usr/bin/systemctl daemon-reload
    fi
    sudo -n /usr/bin/systemctl enable "$unit" 2>/dev/null
    # Earlier falls do not count against this one.
    sudo -n /usr/bin/systemctl reset-failed "$unit" 2>/dev/null || true
    # Ready is said when the broker has answered: the caller waits for that itself.
    sudo -n /usr/bin/systemctl restart --no-block "$unit"
    sleep 1
    if systemctl is-failed --quiet "$unit"; then fail "the unit failed at once"; fi
}

case $action in
look)
    mkdir -p "$releases" 2>/dev/null || fail "$(id -un) cannot write to $root; create it and give it to that user"
    command -v sha256sum >/dev/null || fail "there is no sha256sum"
    # Of a deployment that was cut off.
    rm -rf "$releases"/.partial-*
    printf 'machine %s\n' "$(uname -m)"
    printf 'free %s\n' "$(df -Pk "$releases" | awk 'NR == 2 { print $4 }')"
    if [ -L "$current" ]; then
        printf 'current %s\n' "$(basename "$(readlink "$current")")"
        for file in "$current"/*; do
            if [ -f "$file" ]; then
                printf 'file %s %s\n' "$(sha256sum <"$file" | cut -c1-64)" "$(basename "$file")"
            fi
        done
    fi
    ;;
stage) # RELEASE UNCHANGED...
    partial=$releases/.partial-$1
    shift
    mkdir "$partial"
    for name in "$@"; do
        ln "$current/$name" "$partial/$name" 2>/dev/null || cp -p "$current/$name" "$partial/$name"
    done
    ;;
put) # RELEASE NAME MODE SHA256 <content
    file=$releases/.partial-$1/$2
    umask 077
    cat >"$file.part"
    got=$(sha256sum <"$file.part" | cut -c1-64)
    if [ "$got" != "$4" ]; then
        rm -f "$file.part"
        fail "$2 arrived damaged"
    fi
    chmod "$3" "$file.part"
    mv -f "$file.part" "$file"
    ;;
complete) # RELEASE
    # On the card before anything points to it, whatever happens to the power.
    sync
    mv -T "$releases/.partial-$1" "$releases/$1"
    ;;
activate) # RELEASE
    [ -d "$releases/$1" ] || fail "there is no release $1"
    rm -f "$root/.current"
    ln -s "releases/$1" "$root/.current"
    mv -T "$root/.current" "$current"
    ;;
start) # SERVICE
    if [ "$1" = systemd ]; then
        start_systemd
    else
        stop_process
        start_process
    fi
    ;;
stop) # SERVICE: there is no release to go back to
    if [ "$1" = systemd ]; then
        sudo -n /usr/bin/systemctl stop "$unit"
    else
        stop_process
    fi
    rm -f "$current"
    ;;
discard) # RELEASE
    rm -rf "${releases:?}/$1"
    ;;
prune) # KEEP: names sort by age
    in_use=$(basename "$(readlink "$current")")
    ls "$releases" | sort -r | tail -n "+$(($1 + 1))" | while read -r name; do
        if [ "$name" != "$in_use" ]; then rm -rf "${releases:?}/$name"; fi
    done
    ;;
log) # SERVICE: its last words
    if [ "$1" = systemd ]; then
        journalctl --unit "$unit" --lines 5 --output cat --no-pager 2>/dev/null || true
    else
        tail -n 5 "$root/client.log" 2>/dev/null || true
    fi
    ;;
*)
    fail "unknown action $action"
    ;;
esac
