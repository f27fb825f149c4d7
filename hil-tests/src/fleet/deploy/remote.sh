# What a deployment and the bench do on a device: sh -c THIS hil MARK ACTION ROOT ... Every argument is a plain word; the
# caller sees to it. A release is complete before it gets its name, and `current` always points to a complete one.
set -eu
# A device's key and its share of the data are nobody else's.
umask 077
mark=$1
action=$2
root=$3
shift 3
# Whatever a login has printed before is no part of the answer.
printf '%s\n' "$mark"
printf '%s\n' "$mark" >&2
releases=$root/releases
current=$root/current
unit=outpost-edge-client.service

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Whether the kernel can hold a unit to its MemoryMax.
limits_memory() {
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        grep -qw memory /sys/fs/cgroup/cgroup.controllers
    else
        awk '$1 == "memory" && $4 == 1 { limits = 1 } END { exit !limits }' /proc/cgroups
    fi
}

is_client() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$current/edge-client "
}

# The number of the client's process; nothing, if there is none.
pid_of() { # SERVICE
    if [ "$1" = systemd ]; then
        systemctl show --property MainPID --value "$unit" | sed '/^0$/d'
    else
        # The number in the file may belong to somebody else by now.
        pid=$(cat "$root/client.pid" 2>/dev/null || true)
        if is_client "$pid"; then printf '%s\n' "$pid"; fi
    fi
}

# How a client of this number has ended; nothing, if nobody was there to see it.
exit_of() { # NAME PID
    sed -n "s/^$2 //p" "$root/$1.exit" 2>/dev/null || true
}

# Runs beside a client: notes its number, waits for it, and notes how it ended.
# shellcheck disable=SC2016
keeper='file=$1; shift
"$@" &
printf "%s\n" "$!" >"$file.pid.new" && mv -f "$file.pid.new" "$file.pid"
wait "$!" && code=0 || code=$?
printf "%s %s\n" "$!" "$code" >"$file.exit.$!" && mv -f "$file.exit.$!" "$file.exit"'

launch() { # NAME [WORD...]: starts a client, with words that go before it
    name=$1
    shift
    rm -f "$root/$name.pid"
    # Its file says it all: settings of whoever logs in would beat that.
    for setting in $(env | sed -n 's/^\(OUTPOST_[A-Z_]*\)=.*/\1/p'); do unset "$setting"; done
    setsid sh -c "$keeper" keeper "$root/$name" "$@" "$current/edge-client" --config "$current/client.toml" \
        </dev/null >>"$root/$name.log" 2>&1 &
    tries=0
    while [ ! -f "$root/$name.pid" ]; do
        [ "$tries" -lt 500 ] || fail "the client does not start"
        sleep 0.02
        tries=$((tries + 1))
    done
}

stop_process() { # NAME TENTHS: asks it to leave, and ends it after so many tenths of a second
    pid=$(cat "$root/$1.pid" 2>/dev/null || true)
    if is_client "$pid"; then
        kill "$pid" || true
        tries=0
        while is_client "$pid" && [ "$tries" -lt "$2" ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        if is_client "$pid"; then kill -9 "$pid" || true; fi
    fi
    rm -f "$root/$1.pid"
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
}

# What it says from now on is another story.
fresh_log() {
    date +%s >"$root/started"
    if [ -f "$root/client.log" ]; then mv -f "$root/client.log" "$root/client.log.old"; fi
}

log_of() { # SERVICE
    if [ "$1" = systemd ]; then
        journal --unit "$unit"
    else
        cat "$root/client.log" 2>/dev/null || true
    fi
}

journal() { # MATCH...
    since=$(cat "$root/started" 2>/dev/null || echo 0)
    journalctl "$@" --since "@$since" --output cat --no-pager 2>/dev/null || true
}

# What the client said last, in one line: its own error, if it printed one, and not what systemd says of its end.
last_words() { # SERVICE
    said=
    if [ "$1" = systemd ]; then said=$(journal "_SYSTEMD_UNIT=$unit" | tail -n 200); fi
    if [ -z "$said" ]; then said=$(log_of "$1" | tail -n 200); fi
    error=$(printf '%s\n' "$said" | grep '^edge-client: ' | tail -n 1)
    if [ -z "$error" ]; then error=$said; fi
    printf '%s\n' "$error" | one_line
}

# Starts the client if it is not running.
again() { # SERVICE [WORD...]
    service=$1
    shift
    if [ -n "$(pid_of "$service")" ]; then return; fi
    if [ "$service" = systemd ]; then start_systemd; else launch client "$@"; fi
}

halt() { # SERVICE TENTHS: the release stays in use
    if [ "$1" = systemd ]; then
        case $(systemctl show --property ActiveState --value "$unit") in
        inactive | failed) ;;
        *) sudo -n /usr/bin/systemctl stop "$unit" ;;
        esac
    else
        stop_process twin 0
        stop_process client "$2"
    fi
}

send() { # SERVICE SIGNAL
    pid=$(pid_of "$1")
    [ -n "$pid" ] || fail "the client is not running"
    # It runs as the user who is logged in.
    kill -s "$2" "$pid"
    if [ "$2" = KILL ]; then
        while is_client "$pid"; do sleep 0.1; done
        # Which would start it again.
        if [ "$1" = systemd ]; then sudo -n /usr/bin/systemctl stop "$unit"; fi
    fi
}

twin_has_left() {
    pid=$(cat "$root/twin.pid" 2>/dev/null || echo none)
    case $(exit_of twin "$pid") in
    '') fail "the second client has not left" ;;
    0) fail "the second client has ended well" ;;
    esac
}

# Tells when the client has ended: how, and its last words if that was badly.
await() { # SERVICE NUMBER
    if [ "$1" = systemd ]; then
        while state=$(systemctl show --property ActiveState --value "$unit"); do
            case $state in inactive | failed) break ;; esac
            sleep 1
        done
        if [ "$state" = inactive ]; then code=0; else code=1; fi
    else
        pid=$(cat "$root/client.pid" 2>/dev/null || echo none)
        while kill -0 "$pid" 2>/dev/null; do sleep 1; done
        # Who waits for it is a moment behind.
        tries=0
        while code=$(exit_of client "$pid") && [ -z "$code" ] && [ "$tries" -lt 20 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
    fi
    if [ "$code" = 0 ]; then
        printf '%s %s ended well\n' "$mark" "$2"
    else
        printf '%s %s ended badly %s\n' "$mark" "$2" "$(last_words "$1")"
    fi
}

one_line() {
    tail -n 3 | tr '\n' '/' | sed 's,/$,,' | cut -c 1-2000
}

# Whose this device is: a file of three lines, a token and the number of the line that it came on, the owner, and since
# when. See claim.rs.
claim=$root/claim

is_line() { # PID
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF " line $root "
}

# Its session with it, which is sshd's and has no clients in it, so that whoever holds it notices; but not where that is
# the session of this login, too.
end_line() { # PID
    # shellcheck disable=SC2046
    set -- "$1" $(cut -d ' ' -f 5,6 "/proc/$1/stat" 2>/dev/null)
    if [ "${2:-0}" = "${3:-1}" ] && [ "$2" != "$(cut -d ' ' -f 6 "/proc/$$/stat")" ]; then kill -9 "-$2" 2>/dev/null || true; fi
    kill -9 "$1" 2>/dev/null || true
}

read_claim() { # sets holder, pid, owner, since; empty if there is none
    holder='' pid='' owner='' since=''
    { read -r holder pid && read -r owner && read -r since; } 2>/dev/null <"$claim" || true
}

take_claim() { # TOKEN FORCE OWNER SINCE
    mkdir -p "$root" 2>/dev/null && [ -w "$root" ] || cannot_write
    # A file that is there already is not written to.
    until (set -C && printf '%s %s\n%s\n%s\n' "$1" "$$" "$3" "$4" >"$claim") 2>/dev/null; do
        read_claim
        fresh=$(find "$claim" -mmin -1 2>/dev/null || true)
        if [ -z "$holder" ] && [ -n "$fresh" ]; then
            # It is just being written, or gone.
            sleep 0.1
            continue
        fi
        if [ "$holder" != "$1" ] && [ "$2" = no ]; then
            # One whose line has just ended may come back.
            if is_line "$pid" || { [ "$owner" != "$3" ] && [ -n "$fresh" ]; }; then
                fail "in use by $owner since $since; wait for its end, or take the device with --take-over"
            fi
        fi
        # In any other case it has ended, or is to end.
        if [ "$pid" != "$$" ] && is_line "$pid"; then end_line "$pid"; fi
        rm -f "$claim"
    done
}

let_go() { # TOKEN
    read_claim
    if [ "$holder" = "$1" ]; then rm -f "$claim"; fi
}

# The line has ended without a word: its owner has a minute to come back.
keep_claim() { # TOKEN
    read_claim
    if [ "$holder" = "$1" ]; then touch "$claim"; fi
}

cannot_write() {
    fail "$(id -un) cannot write to $root; create it and give it to that user"
}

# One thing that is asked for on the line.
answer() { # SERVICE ACTION [WORD...]
    service=$1
    action=$2
    shift 2
    case $action in
    begin)
        fresh_log
        again "$service" "$@"
        ;;
    again) again "$service" "$@" ;;
    attach) ;;
    send) send "$service" "$1" ;;
    halt) halt "$service" "$1" ;;
    twin) launch twin ;;
    twin-has-left) twin_has_left ;;
    let-go) let_go "$1" ;;
    *) fail "unknown action $action" ;;
    esac
}

# The line stays open for a whole run: each NUMBER ACTION WORD... that is read, the words quoted for a shell, is done and
# answered. A client that was started or attached to is watched.
line() { # SERVICE
    while read -r number asked words; do
        eval "set -- $words"
        # In a condition, a command that fails would not end the rest.
        set +e
        said=$(set -e; answer "$service" "$asked" "$@" 2>&1)
        code=$?
        set -e
        if [ "$code" = 0 ]; then
            printf '%s %s ok\n' "$mark" "$number"
            case $asked in begin | again | attach) await "$service" "$number" & ;; esac
        else
            printf '%s %s failed %s\n' "$mark" "$number" "$(printf '%s\n' "$said" | one_line)"
        fi
    done
}

# Digest and name of each file of the release in use. A client has many megabytes and is digested once: the answer is kept
# with what tells whether any file has changed since.
digests() {
    cd "$current/"
    known=$root/digests
    now=$(pwd -P && { stat -c '%n %i %s %y %Z' -- * 2>/dev/null || true; })
    if [ "$(sed -n 's/^is //p' "$known" 2>/dev/null)" != "$now" ]; then
        {
            printf '%s\n' "$now" | sed 's/^/is /'
            for file in *; do
                if [ -f "$file" ]; then printf 'file %s %s\n' "$(sha256sum <"$file" | cut -c1-64)" "$file"; fi
            done
        } >"$known.new"
        mv -f "$known.new" "$known"
    fi
    grep '^file ' "$known" || true
}

case $action in
look)
    mkdir -p "$releases" 2>/dev/null || cannot_write
    command -v sha256sum >/dev/null || fail "there is no sha256sum"
    # An earlier version of this left it open.
    chmod go= "$releases"
    # Of a deployment that was cut off.
    rm -rf "$releases"/.partial-*
    printf 'machine %s\n' "$(uname -m)"
    printf 'free %s\n' "$(df -Pk "$releases" | awk 'NR == 2 { print $4 }')"
    limits_memory 2>/dev/null || printf 'memory unlimited\n'
    # One that points nowhere is none: its release was lost with a part of the card.
    if [ -d "$current/" ]; then
        printf 'current %s\n' "$(basename "$(readlink "$current")")"
        digests
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
start) # SERVICE: in place of what runs there
    fresh_log
    if [ "$1" = systemd ]; then
        start_systemd
        sleep 1
        if systemctl is-failed --quiet "$unit"; then fail "the unit failed at once"; fi
    else
        stop_process client 100
        launch client
        sleep 1
        # One that has finished a run already has done what it should.
        pid=$(cat "$root/client.pid")
        is_client "$pid" || [ "$(exit_of client "$pid")" = 0 ] || fail "the client ended at once"
    fi
    ;;
stop) # SERVICE: there is no release to go back to
    if [ "$1" = systemd ]; then
        sudo -n /usr/bin/systemctl stop "$unit"
    else
        stop_process client 100
    fi
    rm -f "$current"
    ;;
line) # SERVICE TOKEN FORCE OWNER SINCE
    service=$1
    shift
    # $$ is this shell, whatever runs the function.
    if said=$(take_claim "$@" 2>&1); then
        token=$1
        trap 'keep_claim "$token"' EXIT
        trap 'exit 0' HUP INT PIPE TERM
        printf '%s 0 ok\n' "$mark"
        line
    else
        printf '%s 0 failed %s\n' "$mark" "$(printf '%s\n' "$said" | one_line)"
    fi
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
last-words) # SERVICE
    last_words "$1"
    ;;
whole-log) # SERVICE BYTES: the end of it, if it is longer
    log_of "$1" | tail -c "$2"
    ;;
*)
    fail "unknown action $action"
    ;;
esac
