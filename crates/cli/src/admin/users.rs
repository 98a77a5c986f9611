//! `gavel users`.

use super::target::{Connection, Target, present};
use crate::{
    failure::Failure,
    output::{self, Table},
    units,
};
use gavel_proto::{
    admin::v1::{
        BanUserRequest, KickUserRequest, ListDenialsRequest, RevokeTokensRequest, UnbanUserRequest,
        revoke_tokens_request::Tokens, user_service_client::UserServiceClient,
    },
    config::v1::{Denial, denial::What},
};
use gavel_rules::time::Millis;
use gavel_runtime::clock;
use serde_json::{Value, json};

/// Denials asked for at once when listing.
const PAGE_SIZE: u32 = 500;

/// Ban and kick users, and make their tokens void.
#[derive(Debug, clap::Args)]
pub(crate) struct Users {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: UsersVerb,
}

#[derive(Debug, clap::Subcommand)]
enum UsersVerb {
    /// Let a user, or a guest, neither join nor bid. Replaces the ban that there is.
    Ban {
        /// Who.
        user: String,
        /// In this room alone.
        #[arg(long, value_name = "ROOM", default_value = "")]
        room: String,
        /// For how long, such as 2h; for ever, unless given.
        #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
        lasting: Option<Millis>,
        /// Why, for other operators.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take a ban back.
    Unban {
        /// Of whom.
        user: String,
        /// The ban from this room, and not the one from all.
        #[arg(long, value_name = "ROOM", default_value = "")]
        room: String,
    },
    /// Close the sessions that a user has now; it may open others.
    Kick {
        /// Whose.
        user: String,
    },
    /// Make void the tokens that a user has been given until now, or one token.
    #[command(group = clap::ArgGroup::new("tokens").required(true))]
    Revoke {
        /// Whose tokens.
        #[arg(group = "tokens")]
        user: Option<String>,
        /// The token with this `jti` alone.
        #[arg(long, value_name = "JTI", group = "tokens")]
        token: Option<String>,
        /// For how long they could have been used; 30d, unless given.
        #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
        lasting: Option<Millis>,
    },
    /// Bans, revoked tokens and kicks that are in force.
    List,
}

// === impl Users ===

impl Users {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { target, verb } = self;
        let mut client = UserServiceClient::new(target.connect()?);
        let (denial, version) = match verb {
            UsersVerb::Ban { user, room, lasting, reason } => {
                let until = until(lasting);
                let request = BanUserRequest { user_id: user, room_id: room, until, reason };
                let done = target.answer(client.ban_user(request)).await?;
                (done.denial, done.version)
            }
            UsersVerb::Unban { user, room } => {
                let request = UnbanUserRequest { user_id: user.clone(), room_id: room };
                let done = target.answer(client.unban_user(request)).await?;
                if target.json {
                    return output::json(&json!({"user": user, "version": done.version}));
                }
                return output::text(format_args!("{user} may come again\n"));
            }
            UsersVerb::Kick { user } => {
                let request = KickUserRequest { user_id: user };
                let done = target.answer(client.kick_user(request)).await?;
                (done.denial, done.version)
            }
            UsersVerb::Revoke { user, token, lasting } => {
                let tokens = user.map(Tokens::UserId).or(token.map(Tokens::TokenId));
                let request = RevokeTokensRequest { tokens, until: until(lasting) };
                let done = target.answer(client.revoke_tokens(request)).await?;
                (done.denial, done.version)
            }
            UsersVerb::List => return list(&target, client).await,
        };
        let denial = present("denial", denial)?;
        if target.json {
            return output::json(&json!({"denial": as_json(&denial), "version": version}));
        }
        show(&[denial])
    }
}

async fn list(target: &Target, mut client: UserServiceClient<Connection>) -> Result<(), Failure> {
    let (mut denials, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListDenialsRequest { page_size: PAGE_SIZE, page_token };
        let page = target.answer(client.list_denials(request)).await?;
        denials.extend(page.denials);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if target.json {
        return output::json(&denials.iter().map(as_json).collect());
    }
    show(&denials)
}

/// The end of what begins now; 0 is none.
fn until(lasting: Option<Millis>) -> u64 {
    lasting.map_or(0, |lasting| clock::now_ms().saturating_add(lasting.get()))
}

fn show(denials: &[Denial]) -> Result<(), Failure> {
    let mut table = Table::new(["DENIED", "TO", "WHERE", "UNTIL", "REASON"]);
    for denial in denials {
        let (denied, to, place, reason) = match &denial.what {
            Some(What::Ban(ban)) => {
                let place = if ban.room_id.is_empty() { "everywhere" } else { &ban.room_id };
                ("to take part".to_owned(), &ban.user_id, place, ban.reason.as_str())
            }
            Some(What::Token(token)) => ("a token".to_owned(), &token.token_id, "", ""),
            Some(What::User(user)) => {
                let before = units::timestamp(user.issued_before);
                (format!("tokens from before {before}"), &user.user_id, "", "")
            }
            Some(What::Kick(kick)) => {
                let before = units::timestamp(kick.opened_before);
                (format!("sessions from before {before}"), &kick.user_id, "", "")
            }
            None => continue,
        };
        let end =
            if denial.until == 0 { "for ever".to_owned() } else { units::timestamp(denial.until) };
        table.row([denied, to.clone(), place.to_owned(), end, reason.to_owned()]);
    }
    output::text(table)
}

fn as_json(denial: &Denial) -> Value {
    let mut told = match &denial.what {
        Some(What::Ban(ban)) => {
            json!({"kind": "ban", "user": ban.user_id, "room": ban.room_id, "reason": ban.reason})
        }
        Some(What::Token(token)) => json!({"kind": "token", "token": token.token_id}),
        Some(What::User(user)) => {
            json!({"kind": "user", "user": user.user_id, "issuedBefore": user.issued_before})
        }
        Some(What::Kick(kick)) => {
            json!({"kind": "kick", "user": kick.user_id, "openedBefore": kick.opened_before})
        }
        None => json!({}),
    };
    if let Value::Object(told) = &mut told {
        told.insert("until".to_owned(), denial.until.into());
    }
    told
}
