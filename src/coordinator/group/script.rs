//! Runs the scripts in `fixtures/groups`: commands of clients with names, and under each what came of it.
//!
//! A line that begins with `> ` is a command; the indented lines after it are what the shard did: replies (`<-`), records
//! (`+`), and the group's state where it has changed. Anything else is a comment. `OTTLA_WRITE_FIXTURES=1` writes the output anew.
//! After every command all records so far are replayed into a fresh shard, which must have the same durable state.
//!
//! A client's name is its client id; its member id is printed as the name (or instance id) and a number. What a client
//! sends it takes from the last reply to it, unless told otherwise: `join m1 session=10s topics=a,b`, `sync m1 m1=x m2=y`,
//! `heartbeat m1 gen=3`, `leave m1`, `commit m1`, `advance 10s`, `crash`, `describe`, `set max_size=2`. The group is `g`,
//! unless a command says `group=h`.

use super::classic::{ClassicGroup, subscription};
use super::offsets::Offsets;
use super::records::{GroupMetadataValue, Record};
use super::request::{Caller, CommitOffset, CommitOffsets, Reply, Request};
use super::settings::{GroupOverrides, GroupSettings, TopicInfo, Topics, World};
use super::{Group, GroupShard, Out};
use crate::coordinator::{Now, Shard, Ticket};
use crate::time::Millis;
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A world without topics.
pub struct Nothing;

impl Topics for Nothing {
    fn version(&self) -> u64 {
        0
    }
    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        Some(TopicInfo { name: name.into(), id: Uuid::nil(), partitions: 1 })
    }
    fn by_id(&self, _id: Uuid) -> Option<TopicInfo> {
        None
    }
    fn each(&self, _f: &mut dyn FnMut(&TopicInfo)) {}
}

impl World for Nothing {
    fn topics(&self) -> Arc<dyn Topics> {
        Arc::new(Nothing)
    }
    fn overrides(&self, _group_id: &str) -> GroupOverrides {
        GroupOverrides::default()
    }
}

/// A shard with everything that has come out of it, and clients that remember what they were told.
pub struct Bench {
    pub shard: GroupShard,
    pub settings: GroupSettings,
    pub now: Now,
    pub records: Vec<Record>,
    pub clients: BTreeMap<String, Client>,
    /// Who waits for what.
    pub waiting: BTreeMap<Ticket, (String, &'static str)>,
    tickets: u64,
    uuids: u128,
}

/// What a client knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub member_id: String,
    pub generation: i32,
    pub instance: Option<String>,
    pub protocol: Option<String>,
    pub leads: bool,
}

/// What came of a step: replies with the client's name, and records.
pub struct Came {
    pub replies: Vec<(String, Reply)>,
    pub records: Vec<Record>,
}

/// A shard that has replayed some records.
pub fn replayed(settings: &GroupSettings, records: &[Record]) -> GroupShard {
    let mut shard = GroupShard::new(Arc::new(settings.clone()), Arc::new(Nothing));
    records.iter().for_each(|record| shard.apply(record.clone()));
    shard
}

impl Bench {
    pub fn new() -> Self {
        let settings = GroupSettings::for_tests();
        Bench {
            shard: replayed(&settings, &[]),
            settings,
            now: Now { monotonic: 0, wall: 1_000_000 },
            records: Vec::new(),
            clients: BTreeMap::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            uuids: 0,
        }
    }

    pub fn fresh_id(&mut self) -> Uuid {
        self.uuids += 1;
        Uuid::from_u128(self.uuids)
    }

    /// Sends a client's request.
    pub fn send(&mut self, client: &str, kind: &'static str, request: Request) -> Came {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, (client.into(), kind));
        let mut out = Out::default();
        self.shard.handle(self.now, ticket, request, &mut out);
        self.came(out)
    }

    /// Does what is due up to a time, and then it is that time.
    pub fn advance(&mut self, by: Millis) -> Vec<(Millis, Came)> {
        let until = self.now.monotonic + by;
        let mut all = Vec::new();
        while let Some(at) = self.shard.next_deadline().filter(|at| *at <= until) {
            self.tick(at.max(self.now.monotonic) - self.now.monotonic);
            let mut out = Out::default();
            self.shard.on_deadline(self.now, &mut out);
            all.push((at, self.came(out)));
        }
        self.tick(until - self.now.monotonic);
        all
    }

    fn tick(&mut self, by: Millis) {
        self.now = Now { monotonic: self.now.monotonic + by, wall: self.now.wall + by };
    }

    /// Only what is durable is left; connections are gone.
    pub fn crash(&mut self) -> Came {
        self.waiting.clear();
        self.shard = replayed(&self.settings, &self.records);
        let mut out = Out::default();
        self.shard.loaded(self.now, &mut out);
        self.came(out)
    }

    fn came(&mut self, out: Out) -> Came {
        self.records.extend(out.records.iter().cloned());
        let mut replies = Vec::new();
        for (ticket, reply) in out.replies {
            let (client, _) = self.waiting.remove(&ticket).expect("a ticket is answered once");
            self.learn(&client, &reply);
            replies.push((client, reply));
        }
        self.check();
        Came { replies, records: out.records }
    }

    fn learn(&mut self, name: &str, reply: &Reply) {
        let client = self.clients.entry(name.into()).or_default();
        if let Reply::JoinGroup(told) = reply {
            match ErrorCode::from_code(told.error_code) {
                Some(ErrorCode::None) => {
                    client.member_id = told.member_id.to_string();
                    client.generation = told.generation_id;
                    client.protocol = told.protocol_name.as_ref().map(|name| name.to_string());
                    client.leads = told.leader == told.member_id && !told.skip_assignment;
                }
                Some(ErrorCode::MemberIdRequired) => client.member_id = told.member_id.to_string(),
                _ => {}
            }
        }
    }

    /// What is durable is what the records say, and what groups at rest go by.
    fn check(&self) {
        assert_eq!(durable(&self.shard), durable(&replayed(&self.settings, &self.records)));
        for (group_id, group) in self.shard.groups() {
            if let Group::Classic(group) = group {
                group.agrees_with_stored().unwrap_or_else(|why| panic!("{group_id}: {why}"));
            }
        }
    }

    pub fn classic(&self, group_id: &str) -> Option<&ClassicGroup> {
        match self.shard.group(group_id) {
            Some(Group::Classic(group)) => Some(group),
            _ => None,
        }
    }

    pub fn set(&mut self, change: impl FnOnce(&mut GroupSettings)) {
        change(&mut self.settings);
        self.shard.settings = Arc::new(self.settings.clone());
    }
}

/// The durable part of a shard; a group that has nothing stored is as good as none.
pub fn durable(shard: &GroupShard) -> (BTreeMap<String, GroupMetadataValue>, Offsets) {
    let stored = shard.groups().filter_map(|(group_id, group)| match group {
        Group::Classic(group) => Some((group_id.to_string(), group.durable()?.clone())),
        Group::Consumer(_) => None,
    });
    (stored.collect(), shard.offsets().clone())
}

/// A command, taken apart.
struct Command<'a> {
    name: &'a str,
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let (options, words): (Vec<_>, Vec<_>) = words.partition(|word| word.contains('='));
        Command { name, words, options: options.iter().filter_map(|option| option.split_once('=')).collect() }
    }

    fn client(&self) -> &'a str {
        self.words.first().copied().unwrap_or("m1")
    }

    fn group(&self) -> &'a str {
        self.options.get("group").copied().unwrap_or("g")
    }

    fn number<T: std::str::FromStr>(&self, option: &str, default: T) -> T {
        self.options.get(option).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    fn millis(&self, option: &str, default: &str) -> i32 {
        millis(self.options.get(option).copied().unwrap_or(default)) as i32
    }
}

fn millis(text: &str) -> Millis {
    let number = |text: &str| text.parse::<Millis>().unwrap_or_else(|_| panic!("a time: {text}"));
    match (text.strip_suffix("ms"), text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(ms), _, _) => number(ms),
        (_, Some(s), _) => number(s) * 1_000,
        (_, _, Some(m)) => number(m) * 60_000,
        _ => number(text),
    }
}

pub fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// `topics=a,b` is the protocol `range` with that subscription; `protocols=range:a,b;sticky:a` are two; `bytes=n` is one of n bytes.
fn protocols(command: &Command<'_>) -> Vec<JoinGroupRequestProtocol> {
    let protocol = |name: &str, metadata: Vec<u8>| {
        JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.into())
    };
    if let Some(bytes) = command.options.get("bytes") {
        return vec![protocol("range", vec![b'x'; bytes.parse().expect("a number")])];
    }
    let Some(spelt) = command.options.get("protocols") else {
        return vec![protocol("range", subscription(command.options.get("topics").unwrap_or(&"t")))];
    };
    let all = spelt.split(';').filter(|one| !one.is_empty());
    all.map(|one| one.split_once(':').unwrap_or((one, "t")))
        .map(|(name, topics)| protocol(name, subscription(topics)))
        .collect()
}

/// Runs a script; what it should say.
fn run(script: &str) -> String {
    let mut bench = Bench::new();
    let mut output = String::new();
    let mut state = String::new();
    for line in script.lines().filter(|line| !line.starts_with("    ")) {
        let _ = writeln!(output, "{line}");
        let Some(command) = line.strip_prefix("> ").map(Command::parse) else { continue };
        for line in run_command(&mut bench, &command).iter().flat_map(|said| said.lines()) {
            let _ = writeln!(output, "    {line}");
        }
        let now = states(&bench);
        for line in now.lines().filter(|line| !state.lines().any(|before| before == *line)) {
            let _ = writeln!(output, "    {line}");
        }
        state = now;
    }
    output
}

fn run_command(bench: &mut Bench, command: &Command<'_>) -> Vec<String> {
    let name = command.client();
    let client = bench.clients.get(name).cloned().unwrap_or_default();
    match command.name {
        "join" => {
            let request = join_request(bench, command);
            print(&bench.send(name, "join", request))
        }
        "sync" => print(&bench.send(name, "sync", sync_request(bench, command, &client))),
        "heartbeat" => {
            let request = HeartbeatRequest::default()
                .with_group_id(GroupId(text(command.group())))
                .with_member_id(text(command.options.get("id").map_or(client.member_id, |id| member_id(bench, id))))
                .with_generation_id(command.number("gen", client.generation))
                .with_group_instance_id(client.instance.map(text));
            print(&bench.send(name, "heartbeat", Request::Heartbeat(request)))
        }
        "leave" => print(&bench.send(name, "leave", leave_request(bench, command))),
        "commit" => {
            let at = CommitOffset {
                topic: command.options.get("topic").copied().unwrap_or("t").into(),
                topic_id: Uuid::nil(),
                partition: 0,
                offset: command.number("offset", 1),
                leader_epoch: -1,
                metadata: None,
            };
            let commit = CommitOffsets {
                version: command.number("v", 9),
                group_id: command.group().into(),
                member_id: command.options.get("id").map_or(client.member_id, |id| member_id(bench, id)),
                group_instance_id: client.instance,
                generation_id_or_member_epoch: command.number("gen", client.generation),
                retention_time_ms: -1,
                producer_id: None,
                partitions: vec![at],
            };
            print(&bench.send(name, "commit", Request::CommitOffsets(commit)))
        }
        "advance" => {
            let steps = bench.advance(millis(command.words.first().expect("how long")));
            let said = steps.iter().flat_map(|(at, came)| {
                print(came).into_iter().map(move |line| format!("at {} s: {line}", *at as f64 / 1000.0))
            });
            said.collect()
        }
        "crash" => print(&bench.crash()),
        "describe" => {
            let request = Request::DescribeGroup { version: command.number("v", 6), group_id: command.group().into() };
            print(&bench.send("admin", "describe", request))
        }
        "delete" => print(&bench.send("admin", "delete", Request::DeleteGroup(command.group().into()))),
        "delete-offset" => {
            let group_id = command.group().into();
            let partitions = vec![(command.options.get("topic").copied().unwrap_or("t").into(), 0)];
            print(&bench.send("admin", "delete-offset", Request::DeleteOffsets { group_id, partitions }))
        }
        "list" => print(&bench.send("admin", "list", Request::ListGroups)),
        "set" => {
            bench.set(|settings| {
                settings.max_size = command.number("max_size", settings.max_size);
                settings.max_record_bytes = command.number("max_record_bytes", settings.max_record_bytes);
                if let Some(delay) = command.options.get("delay") {
                    settings.initial_rebalance_delay_ms = millis(delay) as i32;
                }
            });
            Vec::new()
        }
        unknown => panic!("no such command: {unknown}"),
    }
}

/// The member id that is printed as `name#number`, or that of a client; `-` is none.
fn member_id(bench: &Bench, shown: &str) -> String {
    match (shown, shown.split_once('#')) {
        ("-", _) => String::new(),
        (_, Some((name, number))) => {
            let uuid = Uuid::from_u128(number.parse().expect("a number"));
            format!("{name}-{uuid}")
        }
        _ => bench.clients.get(shown).map_or_else(|| shown.into(), |client| client.member_id.clone()),
    }
}

fn join_request(bench: &mut Bench, command: &Command<'_>) -> Request {
    let name = command.client();
    let id = command.options.get("id").map(|id| member_id(bench, id));
    let client = bench.clients.entry(name.into()).or_default();
    if let Some(instance) = command.options.get("instance") {
        client.instance = Some((*instance).into());
    }
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text(command.group())))
        .with_member_id(text(id.unwrap_or_else(|| client.member_id.clone())))
        .with_group_instance_id(client.instance.clone().map(text))
        .with_session_timeout_ms(command.millis("session", "10s"))
        .with_rebalance_timeout_ms(command.millis("rebalance", "60s"))
        .with_protocol_type(text(command.options.get("type").copied().unwrap_or("consumer")))
        .with_protocols(protocols(command));
    let caller = Caller { version: command.number("v", 9), client_id: name.into(), client_host: "/127.0.0.1".into() };
    Request::JoinGroup { caller, request, fresh_id: bench.fresh_id() }
}

fn sync_request(bench: &Bench, command: &Command<'_>, client: &Client) -> Request {
    let known = ["group", "gen", "id", "v", "type", "protocol"];
    let given = command.options.iter().filter(|(name, _)| !known.contains(name)).map(|(name, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member_id(bench, name)))
            .with_assignment(String::from(*assignment).into())
    });
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text(command.group())))
        .with_member_id(text(command.options.get("id").map_or(client.member_id.clone(), |id| member_id(bench, id))))
        .with_generation_id(command.number("gen", client.generation))
        .with_group_instance_id(client.instance.clone().map(text))
        .with_protocol_type(command.options.get("type").map(|name| text(*name)))
        .with_protocol_name(command.options.get("protocol").map(|name| text(*name)))
        .with_assignments(given.collect());
    Request::SyncGroup { caller: Caller { version: command.number("v", 5), ..Caller::default() }, request }
}

/// `leave m1 m2`: their member ids and instance ids; `leave instance=i`: as an administrator does.
fn leave_request(bench: &Bench, command: &Command<'_>) -> Request {
    let mut members: Vec<MemberIdentity> = Vec::new();
    for name in &command.words {
        let instance = bench.clients.get(*name).and_then(|client| client.instance.clone());
        let identity = MemberIdentity::default().with_member_id(text(member_id(bench, name)));
        members.push(identity.with_group_instance_id(instance.map(text)));
    }
    if let Some(instance) = command.options.get("instance") {
        members.push(MemberIdentity::default().with_group_instance_id(Some(text(*instance))));
    }
    Request::LeaveGroup { group_id: command.group().into(), members }
}

/// A member id without the length of its uuid.
pub fn short(member_id: &str) -> String {
    let Some(at) = member_id.len().checked_sub(37) else {
        return if member_id.is_empty() { "-" } else { member_id }.into();
    };
    match Uuid::parse_str(&member_id[at + 1..]) {
        Ok(uuid) => format!("{}#{}", &member_id[..at], uuid.as_u128()),
        Err(_) => member_id.into(),
    }
}

fn print(came: &Came) -> Vec<String> {
    let records = came.records.iter().map(print_record);
    records.chain(came.replies.iter().map(|(client, reply)| format!("{client} <- {}", print_reply(reply)))).collect()
}

fn print_record(record: &Record) -> String {
    let (group_id, value) = match record {
        Record::GroupMetadata { group_id, value: Some(value) } => (group_id, value),
        Record::GroupMetadata { group_id, value: None } => return format!("+ {group_id} deleted"),
        Record::OffsetCommit { key, value } => {
            let offset = value.as_ref().map_or("deleted".into(), |value| format!("offset={}", value.offset));
            return format!("+ {} {}-{} {offset}", key.group, key.topic, key.partition);
        }
        other => return format!("+ {other:?}"),
    };
    let members = value.members.iter().map(|m| format!("{}={}", short(&m.member_id), shown(&m.assignment)));
    let members: Vec<String> = members.collect();
    let leader = value.leader.as_deref().map_or("none".into(), short);
    let protocol = value.protocol.as_deref().unwrap_or("none");
    format!("+ {group_id} gen={} protocol={protocol} leader={leader} [{}]", value.generation, members.join(" "))
}

fn print_reply(reply: &Reply) -> String {
    let code = |code: i16| ErrorCode::from_code(code).map_or("?", ErrorCode::name);
    match reply {
        Reply::JoinGroup(told) => format!("join {}{}", code(told.error_code), print_join(told)),
        Reply::SyncGroup(told) => format!("sync {}{}", code(told.error_code), print_sync(told)),
        Reply::Heartbeat(told) => format!("heartbeat {told}"),
        Reply::LeaveGroup(Ok(told)) => {
            let left = told.iter().map(|one| {
                let instance = one.group_instance_id.as_ref().map(|id| format!("/{id}")).unwrap_or_default();
                format!(" {}{instance} {}", short(&one.member_id), code(one.error_code))
            });
            format!("leave{}", left.collect::<String>())
        }
        Reply::CommitOffsets(told) => match told {
            Ok(told) => format!("commit {}", told.iter().map(|code| code.name()).collect::<Vec<_>>().join(" ")),
            Err(told) => format!("commit {told}"),
        },
        Reply::DescribeGroup(told) => print_described(told),
        Reply::DeleteGroup(told) => format!("delete {told}"),
        Reply::ListGroups(told) => {
            let listed = told.iter().map(|one| {
                format!("\n    {} {} type={} {}", one.group_id, one.group_type, one.protocol_type, one.state)
            });
            format!("list{}", listed.collect::<String>())
        }
        other => format!("{other:?}"),
    }
}

fn print_described(told: &DescribedGroup) -> String {
    let code = ErrorCode::from_code(told.error_code).map_or("?", ErrorCode::name);
    let (state, kind, protocol) = (&told.group_state, &told.protocol_type, &told.protocol_data);
    let mut said = format!("describe {code} {state} type={kind} protocol={protocol}");
    for member in &told.members {
        let instance = member.group_instance_id.as_ref().map(|id| format!("/{id}")).unwrap_or_default();
        let _ = write!(said, "\n    {}{instance} {}", short(&member.member_id), member.client_id);
        let (metadata, assignment) = (shown(&member.member_metadata), shown(&member.member_assignment));
        let _ = write!(said, " {} metadata={metadata} assignment={assignment}", member.client_host);
    }
    said
}

fn print_join(told: &JoinGroupResponse) -> String {
    if told.error_code != 0 {
        return format!(" id={}", short(&told.member_id));
    }
    let mut said = format!(" gen={} id={} leader={}", told.generation_id, short(&told.member_id), short(&told.leader));
    let _ = write!(said, " protocol={}", told.protocol_name.as_deref().unwrap_or("null"));
    if !told.members.is_empty() {
        let members = told.members.iter().map(|m| format!("{}={}", short(&m.member_id), shown(&m.metadata)));
        let _ = write!(said, " members=[{}]", members.collect::<Vec<_>>().join(" "));
    }
    if told.skip_assignment {
        said.push_str(" skip_assignment");
    }
    said
}

fn print_sync(told: &SyncGroupResponse) -> String {
    if told.error_code != 0 { String::new() } else { format!(" {}", shown(&told.assignment)) }
}

/// Bytes: a subscription as its topics, others as text.
fn shown(bytes: &[u8]) -> String {
    match super::classic::subscribed_topics(bytes) {
        Some(topics) => topics.join(","),
        None if bytes.is_empty() => "()".into(),
        None if bytes.len() > 40 => format!("{} bytes", bytes.len()),
        None => String::from_utf8_lossy(bytes).into(),
    }
}

fn states(bench: &Bench) -> String {
    let mut said = String::new();
    for (group_id, group) in bench.shard.groups() {
        let Group::Classic(group) = group else { continue };
        let _ = write!(said, "{group_id}: {} gen={}", group.state().name(), group.generation());
        for (member_id, member) in group.members() {
            let doing = match (member.is_awaiting_join(), member.is_awaiting_sync()) {
                (true, _) => ":joining",
                (_, true) => ":syncing",
                _ => "",
            };
            let leads = if group.leader() == Some(member_id) { "*" } else { "" };
            let _ = write!(said, " {}{leads}{doing}", short(member_id));
        }
        said.push('\n');
    }
    said
}

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/groups");
    let folders = std::fs::read_dir(root).unwrap().map(|folder| folder.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
    let mut scripts: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "txt")).collect();
    scripts.sort();
    scripts
}

#[test]
fn scripts_say_what_they_said() {
    let rewrite = std::env::var_os("OTTLA_WRITE_FIXTURES").is_some();
    let mut differ = Vec::new();
    for path in scripts() {
        let script = std::fs::read_to_string(&path).unwrap();
        let said = run(&script);
        if rewrite {
            std::fs::write(&path, said).unwrap();
        } else if said != script {
            let line = said.lines().zip(script.lines()).position(|(a, b)| a != b);
            let at = line.unwrap_or_else(|| said.lines().count().min(script.lines().count()));
            let (now, before) = (said.lines().nth(at), script.lines().nth(at));
            differ.push(format!("{}:{}\n  now    {now:?}\n  before {before:?}", path.display(), at + 1));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
