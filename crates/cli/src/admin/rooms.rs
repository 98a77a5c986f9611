//! `gavel rooms`.

mod create;
mod show;

use super::target::{Connection, Target, present};
use crate::failure::Failure;
use create::CreateArgs;
use gavel_proto::admin::v1::{
    CloseRoomRequest, CreateRoomRequest, GetRoomRequest, ListRoomsRequest, MoveRoomRequest,
    PauseRoomRequest, ResumeRoomRequest, Room, room_service_client::RoomServiceClient,
};
use gavel_rules::id::RoomId;

/// Rooms asked for at once when listing.
const PAGE_ROOMS: u32 = 500;

/// Create, look at and steer rooms.
#[derive(Debug, clap::Args)]
pub(crate) struct Rooms {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: RoomsVerb,
}

#[derive(Debug, clap::Subcommand)]
enum RoomsVerb {
    /// Create a room with its auction.
    Create(Box<CreateArgs>),
    /// All rooms, by id.
    List,
    /// One room with its state.
    Get {
        /// Which.
        id: String,
    },
    /// Close a room's auction now.
    Close {
        /// Which.
        id: String,
    },
    /// Refuse bids and stop the clock.
    Pause {
        /// Which.
        id: String,
        /// Told to viewers and kept with the auction.
        #[arg(long, default_value = "paused by an operator")]
        reason: String,
    },
    /// Go on; the time paused is credited.
    Resume {
        /// Which.
        id: String,
    },
    /// Give a room to another node; its sockets stay and no bid is refused.
    Move {
        /// Which.
        id: String,
        /// The node; by default the one that placement would choose.
        #[arg(long, value_name = "NODE", default_value = "")]
        to: String,
    },
}

// === impl Rooms ===

impl Rooms {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { target, verb } = self;
        let mut client = RoomServiceClient::new(target.connect()?);
        let room = match verb {
            RoomsVerb::List => return show::rooms(&list(&target, client).await?, target.json),
            RoomsVerb::Create(args) => {
                let (id, rules) = args.rules(gavel_runtime::clock::now_ms())?;
                let request = CreateRoomRequest { id, rules: Some(rules.into()) };
                target.answer(client.create_room(request)).await?.room
            }
            RoomsVerb::Get { id } => {
                target.answer(client.get_room(GetRoomRequest { id })).await?.room
            }
            RoomsVerb::Close { id } => {
                target.answer(client.close_room(CloseRoomRequest { id })).await?.room
            }
            RoomsVerb::Pause { id, reason } => {
                target.answer(client.pause_room(PauseRoomRequest { id, reason })).await?.room
            }
            RoomsVerb::Resume { id } => {
                target.answer(client.resume_room(ResumeRoomRequest { id })).await?.room
            }
            RoomsVerb::Move { id, to } => {
                target.answer(client.move_room(MoveRoomRequest { id, node_id: to })).await?.room
            }
        };
        show::room(&present("room", room)?, target.json)
    }
}

/// The ids of all rooms.
pub(crate) async fn ids(target: &Target) -> Result<Vec<RoomId>, Failure> {
    let rooms = list(target, RoomServiceClient::new(target.connect()?)).await?;
    let ids = rooms.iter().map(|room| room.id.parse());
    ids.collect::<Result<_, _>>()
        .map_err(|error| Failure::internal("the control plane sent no room id", error))
}

async fn list(
    target: &Target,
    mut client: RoomServiceClient<Connection>,
) -> Result<Vec<Room>, Failure> {
    let mut rooms = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListRoomsRequest { page_size: PAGE_ROOMS, page_token };
        let page = target.answer(client.list_rooms(request)).await?;
        rooms.extend(page.rooms);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(rooms);
        }
    }
}
