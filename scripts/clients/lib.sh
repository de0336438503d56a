# Sourced after scripts/lib.sh by the suites of other people's clients and by scripts/record: the same story of a consumer group told by each
# client, whose transcript from Apache Kafka is fixtures/groups/clients/<client>.txt.
# Clients are pinned here: python/requirements.txt, node/package.json, go/go.mod. They are installed once per such file under scripts/cache.

CLIENTS=(kafka-python confluent-kafka aiokafka kafkajs franz-go sarama kafka-go)
CLIENTS_DIR=$SCRIPTS/clients
OTTLA_CACHE=${OTTLA_CACHE:-$SCRIPTS/cache}
# A story takes a few seconds; this ends one that hangs before the suite's own cap does, so that what it said is shown.
STORY_WITHIN_S=${STORY_WITHIN_S:-120}
# members of the consumer protocol learn of each other in 0.2 s, as those of the classic one do by their own setting
SETTINGS=(group.consumer.min.heartbeat.interval.ms=100 group.consumer.heartbeat.interval.ms=200)

# The one retry is for downloads: a registry that hiccups is no fault of the project.
download() {
  "$@" >&2 || { echo "failed, once more: $*" >&2; sleep 5; "$@" >&2; }
}

hash_of() { sha256sum "$@" | sha256sum | cut -c1-12; }

# Each prepares what a client of its language needs, and sets STORY to the command that tells it, less the broker's address.
python_story() { # <program>
  need python3
  local home
  home=$OTTLA_CACHE/clients-python-$(hash_of "$CLIENTS_DIR/python/requirements.txt")
  if [ ! -e "$home/installed" ]; then
    rm -rf "$home"
    python3 -m venv "$home" >&2
    download "$home/bin/python" -m pip install --quiet --no-deps --only-binary :all: -r "$CLIENTS_DIR/python/requirements.txt"
    touch "$home/installed"
  fi
  STORY=("$home/bin/python" -B "$CLIENTS_DIR/python/$1")
}

node_story() { # <program>
  need node npm
  local home
  home=$OTTLA_CACHE/clients-node-$(hash_of "$CLIENTS_DIR/node/package.json")
  if [ ! -e "$home/installed" ]; then
    rm -rf "$home"
    mkdir -p "$home"
    cp "$CLIENTS_DIR/node/package.json" "$home"
    download npm install --prefix "$home" --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel error
    touch "$home/installed"
  fi
  STORY=(env "NODE_PATH=$home/node_modules" node "$CLIENTS_DIR/node/$1")
}

go_story() { # <package>
  need go
  local home
  home=$OTTLA_CACHE/clients-go-$(hash_of "$CLIENTS_DIR"/go/go.* "$CLIENTS_DIR"/go/*/*.go)
  if [ ! -e "$home/$1" ]; then
    mkdir -p "$home"
    (cd "$CLIENTS_DIR/go" && download go mod download && go build -o "$home/$1" "./$1" >&2)
  fi
  STORY=("$home/$1")
}

story() { # <client>
  case $1 in
    kafka-python) python_story kafka_python.py ;;
    confluent-kafka) python_story confluent_kafka_.py ;;
    aiokafka) python_story aiokafka_.py ;;
    kafkajs) node_story kafkajs.js ;;
    franz-go) go_story franz ;;
    sarama) go_story sarama ;;
    kafka-go) go_story kafkago ;;
    *) die "no such client: $1" ;;
  esac
}

# Prints the transcript; downloads happen before the broker starts.
tell_story() { # <client>
  story "$1"
  start_broker "${SETTINGS[@]}"
  timeout "$STORY_WITHIN_S" "${STORY[@]}" "$BOOTSTRAP"
}

# The suite of one client: its transcript is what it was with Apache Kafka.
same_story() { # <client>
  local recorded=$ROOT/fixtures/groups/clients/$1.txt code=0
  tell_story "$1" >"$WORK/transcript" || code=$?
  [ -e "$recorded" ] || die "$recorded is not there: scripts/record clients"
  diff -u "$recorded" "$WORK/transcript" >&2 || die "$1 tells another story (- Apache Kafka, + here)"
  [ "$code" = 0 ] || die "$1 ended with $code"
}
