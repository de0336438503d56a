# Sourced by scripts/record and the suites java-transactions, kafka-transactions and kafka-streams: the broker and the Java programs of their stories.
# What must be equal on both brokers is told by the same program with the same settings.

. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

# Transactions that are open for too long are looked for often.
TRANSACTION_SETTINGS=(transaction.abort.timed.out.transaction.cleanup.interval.ms=100)

# tell_transactions <profile of pom.xml> <main class> <folder> <arguments ...>: compiles into WORK, tells to the broker at BOOTSTRAP.
# Each story waits for what it wants and gives up after Broker.HANG_S; the cap here is for the program that hangs itself.
# What they keep on disk for a while goes to SCRATCH. Only what the main class needs is compiled: older clients lack what newer stories use.
tell_transactions() {
  local profile=$1 main=$2 folder=$3 classes=$WORK/transactions-$1
  shift 3
  kafka_classpath "$profile"
  javac -d "$classes" -cp "$KAFKA_CP" -sourcepath "$KAFKA_HOME_DIR/transactions:$KAFKA_HOME_DIR/groups" "$KAFKA_HOME_DIR/transactions/$main.java" \
    2>"$WORK/javac" || { cat "$WORK/javac" >&2; return 1; }
  SCRATCH=$WORK timeout --kill-after=5 240 "${KAFKA_JAVA[@]}" -cp "$classes:$KAFKA_CP" "$main" "$BOOTSTRAP" "$folder" "$@"
}

# compare_transactions <profile of pom.xml> <main class> <folder under fixtures/transactions>: on the broker that runs.
compare_transactions() {
  local code=0
  tell_transactions "$1" "$2" "$WORK/told-$3" >"$WORK/said" 2>&1 || code=$?
  if [ "$code" != 0 ]; then grep -vE '^\s+at |^\[' "$WORK/said" | cut -c1-1000; fi
  diff -ru "$ROOT/fixtures/transactions/$3" "$WORK/told-$3" || die "the stories differ"
  same "exit code of the stories" 0 "$code"
}
