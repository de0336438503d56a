//! Listeners: what to open, under which name, and what to tell clients (`listeners`, `advertised.listeners`,
//! `listener.security.protocol.map`, `controller.listener.names`, `allow.insecure.listeners`).
//!
//! Rules of Kafka's `SocketServerConfigs.listenerListToEndPoints` and `CoreUtils`, with two of our own: a listener that
//! other machines can reach and that does not authenticate needs `allow.insecure.listeners=true`, and an advertised
//! address needs a host and a port. Left out: TLS and SASL, and any look at the network; names are not resolved here.

use std::fmt;
use std::net::IpAddr;

use super::registry::{Invalid, list};

/// One listener to open. Controller listeners never become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Upper case, as Kafka normalises it.
    pub name: String,
    /// A host name or address without brackets; empty for every interface; `localhost` for both loopback addresses.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// What clients are told; `None`: the local address of their own connection.
    pub advertised: Option<(String, u16)>,
}

impl Listener {
    /// Whether only this machine can reach it. A host name other than `localhost` counts as reachable.
    pub fn is_loopback(&self) -> bool {
        is_localhost(&self.host) || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The hosts to bind: both loopback addresses for `localhost`, both wildcards for none.
    pub fn bind_hosts(&self) -> Vec<&str> {
        match self.host.as_str() {
            "" => vec!["0.0.0.0", "::"],
            host if is_localhost(host) => vec!["127.0.0.1", "::1"],
            host => vec![host],
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, host_port(&self.host, self.port))
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

/// The settings that listeners are made of, in printed form.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub listeners: &'a str,
    pub advertised: Option<&'a str>,
    pub protocol_map: &'a str,
    pub controller_names: Option<&'a str>,
    pub allow_insecure: bool,
}

/// What the settings come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// To open, in the order given; at least one.
    pub listeners: Vec<Listener>,
    /// Listeners of `controller.listener.names`, which are not opened, as text.
    pub controllers: Vec<String>,
    /// Opened by `allow.insecure.listeners` alone.
    pub insecure: Vec<Listener>,
}

const LISTENERS: &str = "listeners";
const ADVERTISED: &str = "advertised.listeners";
const PROTOCOL_MAP: &str = "listener.security.protocol.map";

/// Parses, joins and checks the settings.
pub fn resolve(source: Source<'_>) -> Result<Resolved, Invalid> {
    let controller_names: Vec<String> =
        list(source.controller_names.unwrap_or("")).into_iter().map(str::to_uppercase).collect();
    let (controllers, opened): (Vec<Listener>, Vec<Listener>) =
        parse_list(LISTENERS, source.listeners)?.into_iter().partition(|one| controller_names.contains(&one.name));
    if opened.is_empty() {
        return Err(Invalid::rule(
            LISTENERS,
            "every listener is in controller.listener.names, and Ottla opens no controller listener: add one for \
             clients, such as listeners=PLAINTEXT://localhost:9092",
        ));
    }
    check_duplicates(&opened)?;
    let protocols = parse_protocol_map(source.protocol_map)?;
    for listener in &opened {
        check_protocol(listener, &protocols)?;
    }
    let advertised = parse_advertised(source.advertised, &opened, &controllers, &controller_names)?;
    let address_of = |name: &str| {
        let found = advertised.iter().find(|one| one.name == name)?;
        Some((found.host.clone(), found.port))
    };
    let listeners: Vec<Listener> =
        opened.into_iter().map(|listener| Listener { advertised: address_of(&listener.name), ..listener }).collect();
    let insecure: Vec<Listener> = listeners.iter().filter(|listener| !listener.is_loopback()).cloned().collect();
    if let (Some(first), false) = (insecure.first(), source.allow_insecure) {
        return Err(refuse_insecure(first));
    }
    Ok(Resolved { listeners, controllers: controllers.iter().map(Listener::to_string).collect(), insecure })
}

fn refuse_insecure(listener: &Listener) -> Invalid {
    Invalid::rule(
        LISTENERS,
        format!(
            "listener {listener} can be reached from other machines, and anyone who reaches it may do anything: it \
             does not authenticate. Bind it to this machine ({}://localhost:{}), or allow it by adding this line:\n\
             allow.insecure.listeners=true",
            listener.name, listener.port
        ),
    )
}

fn parse_list(setting: &'static str, value: &str) -> Result<Vec<Listener>, Invalid> {
    list(value).into_iter().map(|entry| parse_one(setting, entry)).collect()
}

/// `NAME://host:port`; the host may be empty, or an IPv6 address in brackets.
fn parse_one(setting: &'static str, entry: &str) -> Result<Listener, Invalid> {
    let refuse =
        |why: &str| Invalid::rule(setting, format!("{setting}: {why} in {entry:?}, expected NAME://host:port"));
    let (name, address) = entry.split_once("://").ok_or_else(|| refuse("no ://"))?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        return Err(refuse("no proper listener name"));
    }
    let (host, port) = address.rsplit_once(':').ok_or_else(|| refuse("no port"))?;
    let port = port.parse::<u16>().map_err(|_| refuse("no port between 0 and 65535"))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .filter(|inner| inner.parse::<IpAddr>().is_ok())
            .ok_or_else(|| refuse("no IPv6 address in the brackets"))?,
        None if host.contains(':') => return Err(refuse("an IPv6 address without brackets")),
        None if !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '%')) => {
            return Err(refuse("no proper host"));
        }
        None => host,
    };
    Ok(Listener { name: name.to_uppercase(), host: host.to_string(), port, advertised: None })
}

/// Names are unique; so are ports, but for one IPv4 and one IPv6 address. Port 0 is a different port each time.
fn check_duplicates(listeners: &[Listener]) -> Result<(), Invalid> {
    for (index, one) in listeners.iter().enumerate() {
        for other in listeners.iter().take(index) {
            if one.name == other.name {
                return Err(Invalid::rule(LISTENERS, format!("listeners: the name {} is given twice", one.name)));
            }
            let families = (one.host.parse::<IpAddr>(), other.host.parse::<IpAddr>());
            let apart = matches!(families, (Ok(a), Ok(b)) if a.is_ipv4() != b.is_ipv4());
            if one.port != 0 && one.port == other.port && !apart {
                return Err(Invalid::rule(LISTENERS, format!("listeners: {other} and {one} have the same port")));
            }
        }
    }
    Ok(())
}

const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

fn parse_protocol_map(value: &str) -> Result<Vec<(String, String)>, Invalid> {
    let mut map: Vec<(String, String)> = Vec::new();
    for entry in list(value) {
        let refuse = |why: String| Invalid::rule(PROTOCOL_MAP, format!("{PROTOCOL_MAP}: {why}"));
        let (name, protocol) =
            entry.rsplit_once(':').ok_or_else(|| refuse(format!("no colon in {entry:?}, expected NAME:PROTOCOL")))?;
        let (name, protocol) = (name.trim().to_uppercase(), protocol.trim().to_uppercase());
        if !PROTOCOLS.contains(&protocol.as_str()) {
            return Err(refuse(format!("{protocol} is no security protocol; they are {}", PROTOCOLS.join(", "))));
        }
        if map.iter().any(|(earlier, _)| *earlier == name) {
            return Err(refuse(format!("the name {name} is given twice")));
        }
        map.push((name, protocol));
    }
    Ok(map)
}

fn check_protocol(listener: &Listener, protocols: &[(String, String)]) -> Result<(), Invalid> {
    let name = &listener.name;
    match protocols.iter().find(|(mapped, _)| mapped == name).map(|(_, protocol)| protocol.as_str()) {
        Some("PLAINTEXT") => Ok(()),
        Some(protocol) => Err(Invalid::rule(
            LISTENERS,
            format!("listener {listener} uses {protocol}, which is not supported yet; only PLAINTEXT is"),
        )),
        None => Err(Invalid::rule(
            PROTOCOL_MAP,
            format!("listener {listener} has no security protocol: add {name}:PLAINTEXT to {PROTOCOL_MAP}"),
        )),
    }
}

/// The advertised addresses of opened listeners; those of controllers are dropped.
fn parse_advertised(
    value: Option<&str>,
    opened: &[Listener],
    controllers: &[Listener],
    controller_names: &[String],
) -> Result<Vec<Listener>, Invalid> {
    let refuse = |why: String| Invalid::rule(ADVERTISED, format!("{ADVERTISED}: {why}"));
    let mut advertised: Vec<Listener> = Vec::new();
    for one in parse_list(ADVERTISED, value.unwrap_or(""))? {
        if controller_names.contains(&one.name) || controllers.iter().any(|controller| controller.name == one.name) {
            continue;
        }
        if !opened.iter().any(|listener| listener.name == one.name) {
            let names: Vec<&str> = opened.iter().map(|listener| listener.name.as_str()).collect();
            return Err(refuse(format!("{} is not one of the listeners ({})", one.name, names.join(", "))));
        }
        if advertised.iter().any(|earlier| earlier.name == one.name) {
            return Err(refuse(format!("the name {} is given twice", one.name)));
        }
        if one.host.is_empty() || one.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            return Err(refuse(format!("{one} is no address that a client can connect to; name a host")));
        }
        if one.port == 0 {
            return Err(refuse(format!("{one} has port 0, which no client can connect to")));
        }
        advertised.push(one);
    }
    Ok(advertised)
}

#[cfg(test)]
mod tests;
