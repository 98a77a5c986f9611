//! A request as the audit log tells of it: read by the descriptors of its rpc,
//! so that no rpc can be left out.

use gavel_proto::DESCRIPTORS;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, value::Serializer};
use std::sync::LazyLock;

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok());

/// The fields that name what a request is about.
const ID_FIELDS: [&str; 3] = ["id", "flag", "user_id"];
/// The compression byte and the length in front of a message.
const HEAD_BYTES: usize = 5;

/// What an rpc is about, such as `rooms`, by the name of its service.
pub(super) fn kind(path: &str) -> String {
    let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let name = service.rsplit('.').next().unwrap_or_default();
    format!("{}s", name.trim_end_matches("Service").to_lowercase())
}

/// What a request is about, such as `rooms/1`, and what it asks for. One that
/// cannot be read is refused by its service.
pub(super) fn request(path: &str, body: &[u8]) -> (String, Value) {
    let asked = read(path, body).unwrap_or_default();
    let id = ID_FIELDS.iter().find_map(|field| asked.get(field)?.as_str());
    let resource = id.map_or_else(|| kind(path), |id| format!("{}/{id}", kind(path)));
    (resource, asked)
}

fn read(path: &str, body: &[u8]) -> Option<Value> {
    let (service, method) = path.trim_start_matches('/').split_once('/')?;
    let service = POOL.as_ref()?.get_service_by_name(service)?;
    let method = service.methods().find(|found| found.name() == method)?;
    let message = DynamicMessage::decode(method.input(), body.get(HEAD_BYTES..)?).ok()?;
    let options =
        SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true);
    message.serialize_with_options(Serializer, &options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_proto::admin::v1::{PauseRoomRequest, UpdateLimitsRequest};
    use prost::Message;
    use serde_json::json;

    fn framed(message: &impl Message) -> Vec<u8> {
        let mut body = vec![0; HEAD_BYTES];
        message.encode(&mut body).unwrap();
        body
    }

    #[test]
    fn a_request_is_told_by_its_descriptor() {
        let pause = PauseRoomRequest { id: "1".to_owned(), reason: "lunch".to_owned() };
        let told = request("/gavel.admin.v1.RoomService/PauseRoom", &framed(&pause));
        assert_eq!(told, ("rooms/1".to_owned(), json!({"id": "1", "reason": "lunch"})));
        let update = UpdateLimitsRequest { limits: None, version: 1 << 60 };
        let told = request("/gavel.admin.v1.LimitService/UpdateLimits", &framed(&update));
        assert_eq!(told, ("limits".to_owned(), json!({"version": 1_u64 << 60})));
    }

    #[test]
    fn what_cannot_be_read_is_about_its_service_at_least() {
        for body in [&b""[..], b"\0\0\0\0\x02\xff\xff"] {
            let told = request("/gavel.admin.v1.RoomService/PauseRoom", body);
            assert_eq!(told, ("rooms".to_owned(), Value::Null));
        }
    }
}
