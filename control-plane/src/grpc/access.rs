//! Who may call what: one table, in which every rpc of ours has its row. What
//! has none is nobody's.

use gavel_runtime::tls::Role;

/// What an rpc asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it tells no more than the page of metrics does.
    Nothing,
    /// To be a node, where nodes show certificates.
    Node,
    /// To be an operator of this role at least.
    Look(Role),
    /// The same; the call changes something, and is written down.
    Change(Role),
}

use Needs::{Change, Look, Node, Nothing};
use Role::{Admin, Operator, Viewer};

/// The rows, by the paths of the rpcs.
const RPCS: &[(&str, Needs)] = &[
    ("gavel.admin.v1.AuditService/ListAuditEntries", Look(Viewer)),
    ("gavel.admin.v1.AuditService/WatchAuditEntries", Look(Viewer)),
    ("externalscaler.ExternalScaler/GetMetricSpec", Nothing),
    ("externalscaler.ExternalScaler/GetMetrics", Nothing),
    ("externalscaler.ExternalScaler/IsActive", Nothing),
    ("externalscaler.ExternalScaler/StreamIsActive", Nothing),
    ("externalscaler.ExternalScaler/StreamMetricSpec", Nothing),
    ("flagd.sync.v1.FlagSyncService/FetchAllFlags", Look(Viewer)),
    ("flagd.sync.v1.FlagSyncService/GetMetadata", Look(Viewer)),
    ("flagd.sync.v1.FlagSyncService/SyncFlags", Look(Viewer)),
    ("gavel.admin.v1.FlagService/ExplainFlag", Look(Viewer)),
    ("gavel.admin.v1.FlagService/GetFlags", Look(Viewer)),
    ("gavel.admin.v1.FlagService/UpdateFlags", Change(Admin)),
    ("gavel.admin.v1.LimitService/GetLimits", Look(Viewer)),
    ("gavel.admin.v1.LimitService/UpdateLimits", Change(Admin)),
    ("gavel.admin.v1.MetricsService/GetMetrics", Look(Viewer)),
    ("gavel.admin.v1.NodeService/DrainNode", Change(Operator)),
    ("gavel.admin.v1.NodeService/ListNodes", Look(Viewer)),
    ("gavel.admin.v1.NodeService/ReleaseBrake", Change(Operator)),
    ("gavel.admin.v1.NodeService/UndrainNode", Change(Operator)),
    ("gavel.admin.v1.RolloutService/AbortRollout", Change(Admin)),
    ("gavel.admin.v1.RolloutService/ListRollouts", Look(Viewer)),
    ("gavel.admin.v1.RolloutService/PauseRollout", Change(Admin)),
    ("gavel.admin.v1.RolloutService/ResumeRollout", Change(Admin)),
    ("gavel.admin.v1.RolloutService/StartRollout", Change(Admin)),
    ("gavel.admin.v1.RoomService/CloseRoom", Change(Operator)),
    ("gavel.admin.v1.RoomService/CreateRoom", Change(Operator)),
    ("gavel.admin.v1.RoomService/GetRoom", Look(Viewer)),
    ("gavel.admin.v1.RoomService/ListRooms", Look(Viewer)),
    ("gavel.admin.v1.RoomService/MoveRoom", Change(Operator)),
    ("gavel.admin.v1.RoomService/PauseRoom", Change(Operator)),
    ("gavel.admin.v1.RoomService/ResumeRoom", Change(Operator)),
    ("gavel.admin.v1.UserService/BanUser", Change(Operator)),
    ("gavel.admin.v1.UserService/KickUser", Change(Operator)),
    ("gavel.admin.v1.UserService/ListDenials", Look(Viewer)),
    ("gavel.admin.v1.UserService/RevokeTokens", Change(Operator)),
    ("gavel.admin.v1.UserService/UnbanUser", Change(Operator)),
    ("gavel.config.v1.ConfigService/StreamConfig", Node),
    ("gavel.fleet.v1.FleetService/ResolveRoom", Node),
    ("gavel.fleet.v1.FleetService/Session", Node),
    ("gavel.telemetry.v1.TelemetryService/StreamReports", Node),
];

/// What the rpc of this path needs; none where there is no row.
pub(super) fn needs(path: &str) -> Option<Needs> {
    let path = path.strip_prefix('/')?;
    RPCS.iter().find(|(rpc, _)| *rpc == path).map(|(_, needs)| *needs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_proto::DESCRIPTORS;
    use prost_reflect::DescriptorPool;
    use std::collections::BTreeSet;

    /// Packages that other services speak.
    const ELSEWHERE: [&str; 1] = ["gavel.relay.v1"];

    #[test]
    fn every_rpc_has_a_row_and_every_row_an_rpc() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let ours = pool.services().filter(|one| !ELSEWHERE.contains(&one.package_name()));
        let rpcs: BTreeSet<_> = ours
            .flat_map(|service| {
                let path = |rpc: prost_reflect::MethodDescriptor| {
                    format!("{}/{}", service.full_name(), rpc.name())
                };
                service.methods().map(path).collect::<Vec<_>>()
            })
            .collect();
        let rows: BTreeSet<_> = RPCS.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
        assert_eq!(rows, rpcs);
        assert_eq!(rows.len(), RPCS.len(), "none has two rows");
    }

    #[test]
    fn what_is_called_a_change_is_one_and_nothing_else() {
        for (rpc, needs) in RPCS {
            let (_, name) = rpc.split_once('/').unwrap();
            let looks = ["Get", "List", "Watch", "Explain", "Fetch", "Sync"]
                .iter()
                .any(|verb| name.starts_with(verb));
            match needs {
                Node => assert!(!rpc.starts_with("gavel.admin."), "{rpc}"),
                Nothing => assert!(rpc.starts_with("externalscaler."), "{rpc}"),
                Look(_) => assert!(looks, "{rpc}"),
                Change(least) => assert!(!looks && *least > Viewer, "{rpc}"),
            }
        }
        assert_eq!(needs("/gavel.admin.v1.RoomService/Unheard"), None);
    }
}
