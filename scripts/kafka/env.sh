# Sourced by the scripts that run Apache Kafka's Java code: kafka_classpath sets KAFKA_CP, kafka_main maps a tool's name to its class.
# The class path is resolved by Maven from pom.xml once per pom and profile and kept under scripts/cache (or $OTTLA_CACHE), which git ignores.

KAFKA_HOME_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OTTLA_CACHE=${OTTLA_CACHE:-$KAFKA_HOME_DIR/../cache}

# kafka_classpath [profile of pom.xml]: without one, the broker and the tools.
# The one retry is for downloads: a registry that hiccups is no fault of the project.
kafka_classpath() {
  local profile=${1:-kafka} key file
  key=$(sha256sum "$KAFKA_HOME_DIR/pom.xml" | cut -c1-12)
  file=$OTTLA_CACHE/$profile-classpath-$key
  if [ ! -s "$file" ] || ! kafka_jars_exist "$file"; then
    mkdir -p "$OTTLA_CACHE"
    local mvn=(mvn -B -q -Dstyle.color=never -f "$KAFKA_HOME_DIR/pom.xml" -P"$profile" dependency:build-classpath "-Dmdep.outputFile=$file.$$")
    "${mvn[@]}" >&2 || { echo "maven failed, once more" >&2; sleep 5; "${mvn[@]}" >&2; } || return 1
    mv "$file.$$" "$file"
  fi
  KAFKA_CP=$(cat "$file")
}

kafka_jars_exist() {
  local jar
  tr : '\n' <"$1" | while read -r jar; do [ -e "$jar" ] || return 1; done
}

kafka_main() {
  case $1 in
    kafka-broker-api-versions) echo org.apache.kafka.tools.BrokerApiVersionsCommand ;;
    kafka-configs) echo kafka.admin.ConfigCommand ;;
    kafka-console-consumer) echo org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    kafka-console-producer) echo org.apache.kafka.tools.ConsoleProducer ;;
    kafka-dump-log) echo org.apache.kafka.tools.DumpLogSegments ;;
    kafka-get-offsets) echo org.apache.kafka.tools.GetOffsetShell ;;
    kafka-producer-perf-test) echo org.apache.kafka.tools.ProducerPerformance ;;
    kafka-server-start) echo kafka.Kafka ;;
    kafka-storage) echo kafka.tools.StorageTool ;;
    kafka-topics) echo org.apache.kafka.tools.TopicCommand ;;
    *.*) echo "$1" ;;
    *) echo "no such tool: $1" >&2; return 2 ;;
  esac
}

# A tool lives for a second: the small compiler and collector halve that.
KAFKA_JAVA=(java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$KAFKA_HOME_DIR/log4j2.properties")
