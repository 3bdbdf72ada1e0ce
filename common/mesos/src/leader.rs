//! Which master leads, as ZooKeeper says it.
//!
//! Each master holds an ephemeral, sequential node under the path of the cluster; the lowest number
//! leads, and its data is a [`MasterInfo`] in JSON. Other nodes there belong to the replicated log.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value};

use crate::{Address, DecodeError, Encoding, MasterInfo};

/// How the nodes of masters begin; ZooKeeper adds ten digits.
pub const NODE_PREFIX: &str = "json.info_";

/// The node of the leader among the children of the cluster's node.
pub fn leading_node<'a>(children: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    children
        .into_iter()
        .filter_map(|child| Some((sequence(child)?, child)))
        .min()
        .map(|(_, child)| child)
}

/// The number of a master's node.
pub fn sequence(node: &str) -> Option<u64> {
    let digits = node.strip_prefix(NODE_PREFIX)?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

/// Reads the data of a master's node.
///
/// # Errors
/// If it is no master's description.
pub fn read_node(data: &[u8]) -> Result<MasterInfo, DecodeError> {
    Encoding::Json.decode(data)
}

/// The data of a master's node as Mesos writes it: keys in the order of the alphabet.
pub fn node_data(info: &MasterInfo) -> Vec<u8> {
    let bytes = Encoding::Json.encode(info);
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => sorted(value).to_string().into_bytes(),
        // What was just written is JSON.
        Err(_) => bytes,
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            let fields = fields.into_iter().map(|(name, value)| (name, sorted(value)));
            Value::Object(fields.collect::<Map<String, Value>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

impl MasterInfo {
    /// Where it listens: its address, else its name and the old fields.
    pub fn endpoint(&self) -> (String, u16) {
        let address = self.address.as_ref();
        let host = address
            .and_then(|address| address.ip.clone().or_else(|| address.hostname.clone()))
            .or_else(|| self.hostname.clone())
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| self.old_address().to_string());
        let port = address.and_then(|address| u16::try_from(address.port).ok());
        (
            host,
            port.or_else(|| u16::try_from(self.port).ok()).unwrap_or(crate::location::MASTER_PORT),
        )
    }

    /// The address in the old field: the first byte is the lowest.
    pub fn old_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.ip.to_le_bytes())
    }

    /// A master that listens there; its capabilities are left to the caller.
    pub fn listening(id: &str, address: IpAddr, port: u16, hostname: &str, version: &str) -> Self {
        let old = match address {
            IpAddr::V4(address) => u32::from_le_bytes(address.octets()),
            IpAddr::V6(_) => 0,
        };
        Self {
            id: id.to_owned(),
            ip: old,
            port: port.into(),
            pid: Some(format!("master@{}", std::net::SocketAddr::new(address, port))),
            hostname: Some(hostname.to_owned()),
            version: Some(version.to_owned()),
            address: Some(Address {
                hostname: Some(hostname.to_owned()),
                ip: Some(address.to_string()),
                port: port.into(),
            }),
            domain: None,
            capabilities: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{leading_node, node_data, read_node, sequence};
    use crate::{MasterCapability, MasterCapabilityType, MasterInfo};

    /// What a real master wrote (session 12).
    const RECORDED: &str = concat!(
        r#"{"address":{"hostname":"127.0.0.1","ip":"127.0.0.1","port":5060},"#,
        r#""capabilities":[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{"type":"QUOTA_V2"}],"#,
        r#""hostname":"127.0.0.1","id":"99b6d188-c9c5-43de-a81c-6a290e4db151","ip":16777343,"#,
        r#""pid":"master@127.0.0.1:5060","port":5060,"version":"1.12.0"}"#
    );

    #[test]
    fn a_node_is_written_as_a_real_master_does() {
        let known = [
            MasterCapabilityType::AgentUpdate,
            MasterCapabilityType::AgentDraining,
            MasterCapabilityType::QuotaV2,
        ];
        let address = [127, 0, 0, 1].into();
        let id = "99b6d188-c9c5-43de-a81c-6a290e4db151";
        let info = MasterInfo {
            capabilities: known.map(|it| MasterCapability { r#type: Some(it.into()) }).to_vec(),
            ..MasterInfo::listening(id, address, 5060, "127.0.0.1", "1.12.0")
        };
        assert_eq!(String::from_utf8(node_data(&info)).unwrap(), RECORDED);
        assert_eq!(read_node(RECORDED.as_bytes()).unwrap(), info);
    }

    #[test]
    fn the_lowest_number_leads() {
        let nodes = ["log_replicas", "json.info_0000000010", "json.info_0000000009", "info_1"];
        assert_eq!(leading_node(nodes), Some("json.info_0000000009"));
        assert_eq!(leading_node(["log_replicas"]), None);
        for node in ["json.info_", "json.info_+1", "json.info_1x", "json.info"] {
            assert_eq!(sequence(node), None, "{node}");
        }
    }

    #[test]
    fn endpoints() {
        let data = br#"{"address":{"hostname":"m1","ip":"10.0.0.1","port":5060},
            "hostname":"m1","id":"x","ip":16777226,"pid":"master@10.0.0.1:5060","port":5060,
            "version":"1.12.0"}"#;
        let info = read_node(data).unwrap();
        assert_eq!(info.endpoint(), ("10.0.0.1".to_owned(), 5060));
        assert_eq!(info.old_address().to_string(), "10.0.0.1");
        let old =
            MasterInfo { id: "x".into(), ip: 16_777_343, port: 5050, ..MasterInfo::default() };
        assert_eq!(old.endpoint(), ("127.0.0.1".to_owned(), 5050));
        let made = MasterInfo::listening("x", [10, 0, 0, 1].into(), 5060, "m1", "1.12.0");
        assert_eq!(made, info);
    }
}
