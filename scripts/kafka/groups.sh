# Sourced by scripts/record and the suites java-groups and kafka-groups: the broker and the Java programs of their stories.
# What must be equal on both brokers is told by the same program with the same settings.

. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

# Groups end at four members (LimitStory), and the consumer protocol need not wait for seconds between two heartbeats.
GROUP_SETTINGS=(
  group.max.size=4 group.consumer.max.size=4
  group.consumer.min.heartbeat.interval.ms=100 group.consumer.heartbeat.interval.ms=200
  group.consumer.min.session.timeout.ms=1000 group.consumer.assignment.interval.ms=0
)

# tell_stories <main class> <folder> <arguments ...>: compiles into WORK, tells to the broker at BOOTSTRAP. Each story waits for what it wants and
# gives up after Cluster.HANG_S; the cap here is for the program that hangs itself.
tell_stories() {
  local main=$1 folder=$2
  shift 2
  javac -d "$WORK/groups" -cp "$KAFKA_CP" "$KAFKA_HOME_DIR"/groups/*.java 2>"$WORK/javac" || { cat "$WORK/javac" >&2; return 1; }
  timeout --kill-after=5 240 "${KAFKA_JAVA[@]}" -cp "$WORK/groups:$KAFKA_CP" "$main" "$BOOTSTRAP" "$folder" "$@"
}

# compare_stories <main class> <folder under fixtures/groups>: the body of a suite.
compare_stories() {
  local code=0
  kafka_classpath
  start_broker "${GROUP_SETTINGS[@]}"
  tell_stories "$1" "$WORK/told" >"$WORK/said" 2>&1 || code=$?
  if [ "$code" != 0 ]; then grep -vE '^\s+at |^\[' "$WORK/said" | cut -c1-1000; fi
  diff -ru "$ROOT/fixtures/groups/$2" "$WORK/told" || die "the stories differ"
  same "exit code of the stories" 0 "$code"
}
