# Sourced by scripts/compat, its suites, and scripts/power-loss: a broker on a free port of loopback, and assertions that say what they saw.
# Suites know the broker by BOOTSTRAP (host:port), DATA (its log directory, while it is down at least) and WORK (scratch, removed by the runner).

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$SCRIPTS")
AGAINST=${AGAINST:-ottla}
OTTLA_BIN=${OTTLA_BIN:-${CARGO_TARGET_DIR:-$ROOT/target}/release/ottla}
READY_WITHIN_S=${READY_WITHIN_S:-10}
STOPPED_WITHIN_S=${STOPPED_WITHIN_S:-10}
SKIPPED=77

die() { echo "FAILED: $*" >&2; exit 1; }

# A runtime that is not there: an error where CI has installed it, a loud skip elsewhere.
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null && continue
    [ "${CI:-}" != true ] || die "$command is not installed, and CI skips nothing"
    echo "SKIPPED: $command is not installed" >&2
    exit $SKIPPED
  done
}

same() { # <what> <expected> <actual>
  [ "$2" = "$3" ] || die "$1"$'\n'"--- expected"$'\n'"$2"$'\n'"--- actual"$'\n'"$3"
}

has() { # <what> <extended regular expression> <text>
  grep -qE -- "$2" <<<"$3" || die "$1: nothing matches /$2/ in"$'\n'"$3"
}

lacks() { # <what> <extended regular expression> <text>
  ! grep -iE -- "$2" <<<"$3" >&2 || die "$1: the above matches /$2/"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the ephemeral range, so that no outgoing connection takes it in the meantime; the next one too, which Kafka's controller uses.
free_port() {
  local port
  while :; do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
    answers "$port" || answers $((port + 1)) || { echo "$port"; return; }
  done
}

# start_broker [key=value ...] starts on WORK/broker, or again on what is there; the settings are Kafka's, for either broker.
# It is ended with the script that started it, unless that has a trap of its own, which then calls end_broker.
start_broker() {
  BROKER_PORT=${BROKER_PORT:-$(free_port)}
  BOOTSTRAP=127.0.0.1:$BROKER_PORT
  [ -n "$(trap -p EXIT)" ] || trap end_broker EXIT
  case $AGAINST in
    ottla) start_ottla "$@" ;;
    kafka) DATA=$WORK/broker/data; BROKER_PID=$("$SCRIPTS/kafka/broker" start "$WORK/broker" "$BROKER_PORT" "$@") || exit 1 ;;
    *) die "no such broker: $AGAINST" ;;
  esac
}

start_ottla() {
  [ -x "$OTTLA_BIN" ] || die "$OTTLA_BIN is not there: cargo build --release"
  DATA=${DATA:-$WORK/broker/data}
  mkdir -p "$WORK/broker"
  setsid "$OTTLA_BIN" --listeners="PLAINTEXT://$BOOTSTRAP" --log.dirs="$DATA" "${@/#/--}" >>"$WORK/broker/log" 2>&1 </dev/null &
  BROKER_PID=$!
  echo "$BROKER_PID" >"$WORK/broker/pid"
  local waited=0
  until answers "$BROKER_PORT"; do
    kill -0 "$BROKER_PID" 2>/dev/null || die "the broker ended:"$'\n'"$(tail -20 "$WORK/broker/log")"
    [ "$waited" -lt $((READY_WITHIN_S * 50)) ] || die "not ready in $READY_WITHIN_S s"
    sleep 0.02
    waited=$((waited + 1))
  done
}

# A clean stop: SIGTERM, exit code 0, in time.
stop_broker() {
  case $AGAINST in
    kafka) "$SCRIPTS/kafka/broker" stop "$WORK/broker" ;;
    ottla)
      local waited=0 code=0
      kill -TERM "$BROKER_PID"
      while kill -0 "$BROKER_PID" 2>/dev/null; do
        [ "$waited" -lt $((STOPPED_WITHIN_S * 50)) ] || die "still running $STOPPED_WITHIN_S s after SIGTERM"
        sleep 0.02
        waited=$((waited + 1))
      done
      wait "$BROKER_PID" || code=$?
      same "exit code after SIGTERM" 0 "$code"
      rm -f "$WORK/broker/pid"
      ;;
  esac
  BROKER_PID=
}

kill_broker() {
  kill -KILL "$BROKER_PID"
  wait "$BROKER_PID" 2>/dev/null || true
  while kill -0 "$BROKER_PID" 2>/dev/null; do sleep 0.02; done
  rm -f "$WORK/broker/pid"
  BROKER_PID=
}

end_broker() {
  [ -z "${BROKER_PID:-}" ] || kill -KILL "$BROKER_PID" 2>/dev/null || true
}
